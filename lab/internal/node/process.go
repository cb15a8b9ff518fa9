// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// systemPath is the PATH of containers that set none, and of the agent's own commands in them.
const systemPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// processSpec is what a container's process starts from.
type processSpec struct {
	network  *sandbox
	hostname string
	root     rootFS
	argv     []string
	env      []string
	dir      string
	security security
	stdout   *os.File
	stderr   *os.File
}

// process is a running container process: PID 1 of its own process namespace.
type process struct {
	spec    processSpec
	cmd     *exec.Cmd
	started time.Time
	done    chan struct{} // closed when the process has ended and exit is set
	exit    exit
}

// exit is how a container ended.
type exit struct {
	code     int32
	signal   int32
	reason   string
	message  string
	started  time.Time
	finished time.Time
}

// startProcess starts the process on a thread of its own, which changes into all of the container's
// namespaces first. The thread then waits for the process: the kernel delivers the parent's death
// signal when the *thread* that forked ends, so it must live as long as the process.
func startProcess(spec processSpec) (*process, error) {
	// The runtime's one-time check for pidfds forks a child. On a thread that is about to create a
	// process namespace that child would become, and end, its PID 1.
	if _, err := os.FindProcess(os.Getpid()); err != nil {
		return nil, err
	}

	p := &process{spec: spec, done: make(chan struct{})}
	started := make(chan error, 2) // the thread's own report, and how it ended
	go func() {
		defer close(p.done)
		started <- netns.OnThread(func() error {
			err := p.start()
			started <- err
			if err == nil {
				p.exit = exitOf(p.cmd.Wait(), p.started)
			}
			return err
		})
	}()
	if err := <-started; err != nil {
		return nil, err
	}

	return p, nil
}

// start runs on the container's thread.
func (p *process) start() error {
	spec := p.spec
	credential := spec.security.credential()
	if err := spec.isolate(); err != nil {
		return err
	}
	if err := spec.root.enter(); err != nil {
		return err
	}
	if err := spec.security.restrictThread(); err != nil {
		return err
	}

	path, err := lookPath(spec.argv[0], spec.dir, spec.env)
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{
		Path: path, Args: spec.argv, Env: spec.env, Dir: spec.dir,
		Stdout: spec.stdout, Stderr: spec.stderr,
		SysProcAttr: &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL,
			Setsid: true, Ptrace: true},
	}

	p.started = time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	p.cmd = cmd
	if err := p.resume(); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}

	return nil
}

// isolate moves the calling thread into the pod's network and into new namespaces of the
// container's. The process namespace is only that of the thread's future children.
func (s processSpec) isolate() error {
	if s.network.ns != nil {
		if err := unix.Setns(s.network.ns.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the pod's network namespace: %w", err)
		}
		if err := unprivilegedNetworking(); err != nil {
			return err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC); err != nil {
		return fmt.Errorf("create the container's namespaces: %w", err)
	}
	if err := unix.Sethostname([]byte(s.hostname)); err != nil {
		return fmt.Errorf("set the hostname: %w", err)
	}

	return nil
}

// resume completes the container's file system and lets its process run. The process has executed
// its program but stands before the first instruction, as traced processes do: this is the moment
// when its process namespace exists and it has not looked at /proc.
func (p *process) resume() error {
	pid := p.cmd.Process.Pid
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the container's process: %w", err)
		}
	}

	if !status.Stopped() {
		return fmt.Errorf("the container's process ended before it ran (status %#x)", int(status))
	}
	if err := p.mountProc(); err != nil {
		klog.ErrorS(err, "The container sees the lab's /proc", "hostname", p.spec.hostname)
	}
	if err := unix.PtraceDetach(pid); err != nil {
		return fmt.Errorf("let the container's process run: %w", err)
	}

	return nil
}

// mountProc mounts the /proc of the container's process namespace. What could change the machine is
// read-only, since root in a container is root outside.
func (p *process) mountProc() error {
	return netns.OnThread(func() error {
		pidfd, err := unix.PidfdOpen(p.cmd.Process.Pid, 0)
		if err != nil {
			return fmt.Errorf("find the container's process: %w", err)
		}
		defer func() { _ = unix.Close(pidfd) }() // nothing was written

		proc, err := newProc(pidfd, p.spec.root.staging)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(proc) }() // the same

		if err := unix.Setns(pidfd, unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the container's mounts: %w", err)
		}
		if err := unix.MoveMount(proc, "", unix.AT_FDCWD, "/proc",
			unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}

		for _, name := range []string{"sys", "sysrq-trigger", "irq", "bus", "fs"} {
			path := "/proc/" + name
			if err := bindOver(path, path, true); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		return nil
	})
}

// newProc is a descriptor of a /proc of the process's namespace that is mounted nowhere. The kernel
// takes the namespace of the process that mounts, not that of its future children, so a process
// must be started for it: this machine's mount, since an image may have none. It sees this
// machine's files, in a mount namespace that the calling thread has to itself, and mounts on the
// staging directory there.
func newProc(pidfd int, staging string) (int, error) {
	if err := unix.Setns(pidfd, unix.CLONE_NEWPID); err != nil {
		return 0, fmt.Errorf("enter the container's processes: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return 0, fmt.Errorf("create a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("make the mounts private: %w", err)
	}

	path, err := lookPath("mount", "/", []string{systemPath})
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(path, "-n", "-t", "proc", "-o", "nosuid,nodev,noexec", "proc", staging)
	cmd.Env = []string{systemPath}
	if output, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("mount a new /proc: %w: %s", err, output)
	}

	proc, err := unix.OpenTree(unix.AT_FDCWD, staging, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("take the new /proc: %w", err)
	}
	return proc, nil
}

// inside runs f on a thread that is in the process's namespaces, except for the process namespace,
// where only the thread's children are.
func (p *process) inside(f func() error) error {
	return netns.OnThread(func() error {
		pidfd, err := unix.PidfdOpen(p.cmd.Process.Pid, 0)
		if err != nil {
			return fmt.Errorf("find the container's process: %w", err)
		}
		defer func() { _ = unix.Close(pidfd) }() // nothing was written

		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("separate the working directory: %w", err)
		}
		namespaces := unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
			unix.CLONE_NEWIPC
		if err := unix.Setns(pidfd, namespaces); err != nil {
			return fmt.Errorf("enter the container's namespaces: %w", err)
		}
		return f()
	})
}

// exec runs a command in the process's namespaces and waits for it.
func (p *process) exec(ctx context.Context, argv []string) error {
	credential := p.spec.security.credential()
	return p.inside(func() error {
		if err := p.spec.security.restrictThread(); err != nil {
			return err
		}
		path, err := lookPath(argv[0], p.spec.dir, p.spec.env)
		if err != nil {
			return err
		}

		cmd := exec.CommandContext(ctx, path, argv[1:]...)
		cmd.Env, cmd.Dir = p.spec.env, p.spec.dir
		// No parent death signal: it would come at once, because the parent is not visible in the
		// process namespace. The command dies with the namespace's PID 1 instead.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setsid: true}
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}
		return nil
	})
}

// unprivilegedNetworking lets users that are not root use low ports and ping, as container runtimes
// do by default.
func unprivilegedNetworking() error {
	if err := writeSysctl("net/ipv4/ip_unprivileged_port_start", "0"); err != nil {
		return err
	}
	// A user namespace does not have all of these groups; then ping needs NET_RAW, and that is all.
	if err := writeSysctl("net/ipv4/ping_group_range", "0 2147483647"); err != nil &&
		!errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// lookPath finds the program as execvp would, with the container's PATH and in its file system.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}

	for _, entry := range env {
		list, ok := strings.CutPrefix(entry, "PATH=")
		if !ok {
			continue
		}
		for _, directory := range filepath.SplitList(list) {
			candidate := filepath.Join(directory, name)
			if info, err := os.Stat(candidate); err == nil && !info.IsDir() &&
				info.Mode()&0o111 != 0 {
				return candidate, nil
			}
		}
	}

	return "", fmt.Errorf("start %q: %w", name, exec.ErrNotFound)
}

// exitOf translates what Wait returned as container runtimes do: a signal is 128 and its number.
func exitOf(err error, started time.Time) exit {
	e := exit{started: started, finished: time.Now(), reason: "Completed"}
	if err == nil {
		return e
	}
	e.reason = "Error"
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		e.code, e.message = 255, err.Error()
		return e
	}

	e.code = int32(failed.ExitCode())
	if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.signal = int32(status.Signal())
		e.code = 128 + e.signal
	}

	return e
}

func (p *process) ended() <-chan struct{} { return p.done }

func (p *process) startedAt() time.Time { return p.started }

// result is valid once the process has ended.
func (p *process) result() exit { return p.exit }

// signal asks the process to end. An ended process is no error.
func (p *process) signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s)
}
