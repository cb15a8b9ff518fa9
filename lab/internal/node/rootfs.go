// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/moby/sys/userns"
	"golang.org/x/sys/unix"
)

// rootFS describes the file system that a container's process sees: an image's, or this machine's
// programs and libraries, read-only, and everything else fresh.
type rootFS struct {
	// staging is an empty directory to build on. The mounts are private to the thread that builds.
	staging string
	// image is a directory with the files of an image, which stay as they are: the container writes
	// to a layer of its own. Empty stands for this machine's programs.
	image string
	// dir is the container's working directory, which is made in an image that does not have it.
	dir string
	// program is bind-mounted at /<its name>.
	program string
	// etc are files of /etc with their content; they hide this machine's.
	etc      map[string]string
	mounts   []mount
	readOnly bool
}

// mount is one volume of the container.
type mount struct {
	source   string // a file or directory of the agent's view
	target   string // absolute, inside the container
	readOnly bool
}

// enter builds the root and moves the calling thread into it. The thread must be disposable and be
// in the container's network namespace already, since that is the one that /sys shows.
func (r rootFS) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("create a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", r.staging, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount the container's root: %w", err)
	}

	steps := []func() error{r.addSystem, r.addEtc, r.addScratch}
	if r.image != "" {
		if err := r.overlay(); err != nil {
			return err
		}
		r.staging = r.path("root")
		steps = []func() error{r.writeEtc, r.addDir}
	}

	for _, step := range append(steps, r.addDevices, r.addKernelFiles, r.addProgram, r.addMounts,
		r.pivot) {
		if err := step(); err != nil {
			return err
		}
	}

	return nil
}

func (r rootFS) path(elements ...string) string {
	return filepath.Join(append([]string{r.staging}, elements...)...)
}

// overlay mounts the image's files at the directory root of the staging directory, below a
// layer for what the container writes. The paths are relative to the staging directory, because
// options cannot name all paths.
func (r rootFS) overlay() error {
	for _, name := range []string{"image", "upper", "work", "root"} {
		if err := os.Mkdir(r.path(name), 0o755); err != nil {
			return fmt.Errorf("create the directory of the image: %w", err)
		}
	}
	if err := bindOver(r.image, r.path("image"), true); err != nil {
		return fmt.Errorf("mount the image: %w", err)
	}
	if err := unix.Chdir(r.staging); err != nil {
		return fmt.Errorf("enter the staging directory: %w", err)
	}

	options := "lowerdir=image,upperdir=upper,workdir=work"
	if userns.RunningInUserNS() {
		options += ",userxattr"
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, options); err != nil {
		return fmt.Errorf("mount the image (the kernel must have overlayfs, and from 5.11 in a "+
			"user namespace): %w", err)
	}

	return nil
}

// within is the path of a target in the container. Symbolic links of an image lead to where they
// lead in the container, never to a file of this machine.
func (r rootFS) within(target string) (string, error) {
	at, err := securejoin.SecureJoin(r.staging, target)
	if err != nil {
		return "", fmt.Errorf("find %s in the container: %w", target, err)
	}
	return at, nil
}

// writeEtc writes the pod's own files of /etc over those of the image.
func (r rootFS) writeEtc() error {
	for name, content := range r.etc {
		at, err := r.within("/etc/" + name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("create a mount point for /etc/%s: %w", name, err)
		}
		if err := writeFile(at, content); err != nil {
			return fmt.Errorf("write /etc/%s: %w", name, err)
		}
	}

	return nil
}

// writeFile makes a file of a root that may become read-only. No process may be forked meanwhile:
// it would have the file open for writing until it executes its program, and as long as that takes
// the kernel refuses to make the file system read-only (EBUSY).
func writeFile(path, content string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, []byte(content), 0o644)
}

// addDir makes the working directory.
func (r rootFS) addDir() error {
	at, err := r.within(r.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fmt.Errorf("make the working directory %s: %w", r.dir, err)
	}
	return nil
}

// addSystem shows this machine's programs and libraries. /nix is where some systems keep them.
func (r rootFS) addSystem() error {
	for _, name := range []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix"} {
		info, err := os.Lstat("/" + name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return fmt.Errorf("look at /%s: %w", name, err)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink("/" + name)
			if err != nil {
				return fmt.Errorf("read the link /%s: %w", name, err)
			}
			if err := os.Symlink(target, r.path(name)); err != nil {
				return err
			}
		default:
			if err := r.bind("/"+name, "/"+name, true); err != nil {
				return err
			}
		}
	}

	return nil
}

// addEtc links each of this machine's /etc entries from a directory of its own, so that files can
// be replaced and volumes mounted beside them.
func (r rootFS) addEtc() error {
	const hidden = "/.etc"
	if err := r.bind("/etc", hidden, true); err != nil {
		return err
	}
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return fmt.Errorf("list /etc: %w", err)
	}
	if err := os.Mkdir(r.path("etc"), 0o755); err != nil {
		return err
	}

	for name, content := range r.etc {
		if err := writeFile(r.path("etc", name), content); err != nil {
			return err
		}
	}

	for _, entry := range entries {
		if _, replaced := r.etc[entry.Name()]; replaced {
			continue
		}
		if err := os.Symlink(filepath.Join(hidden, entry.Name()),
			r.path("etc", entry.Name())); err != nil {
			return err
		}
	}

	return nil
}

func (r rootFS) addScratch() error {
	for _, dir := range []string{"tmp", "run", "root", "home", "var", "var/run", "var/tmp",
		"var/log", "var/lib", "var/cache"} {
		if err := os.Mkdir(r.path(dir), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Chmod(r.path("tmp"), fs.ModeSticky|0o777),
		os.Chmod(r.path("var/tmp"), fs.ModeSticky|0o777),
		os.Chmod(r.path("root"), 0o700))
}

// addDevices binds the harmless devices; a user namespace could not create them.
func (r rootFS) addDevices() error {
	if err := r.mountNew("tmpfs", "dev", unix.MS_NOSUID, "mode=0755"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := r.bind("/dev/"+name, "/dev/"+name, false); err != nil {
			return err
		}
	}

	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0",
		"stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, r.path("dev", name)); err != nil {
			return err
		}
	}

	return r.mountNew("tmpfs", "dev/shm", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

// addKernelFiles mounts /sys of the container's network namespace and, for now, the agent's /proc:
// only a process inside the container's process namespace can mount that one's (see mountProc). A
// user namespace may be refused a /sys; then it stays empty.
func (r rootFS) addKernelFiles() error {
	if err := r.bind("/proc", "/proc", false); err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
	if err := r.mountNew("sysfs", "sys", flags, ""); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// addProgram puts the image's program where an image would have it.
func (r rootFS) addProgram() error {
	if r.program == "" {
		return nil
	}
	return r.bind(r.program, "/"+filepath.Base(r.program), true)
}

// addMounts mounts the volumes, outer ones first.
func (r rootFS) addMounts() error {
	mounts := slices.Clone(r.mounts)
	slices.SortStableFunc(mounts, func(a, b mount) int {
		return strings.Compare(a.target, b.target)
	})
	for _, m := range mounts {
		if err := r.bind(m.source, m.target, m.readOnly); err != nil {
			return err
		}
	}
	return nil
}

// bind shows source at target, which it creates when missing.
func (r rootFS) bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("find what to mount at %s: %w", target, err)
	}
	at, err := r.within(target)
	if err != nil {
		return err
	}

	parent := filepath.Dir(at)
	if info.IsDir() {
		parent = at
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("make the mount point %s (the machine's own directories, like /usr, "+
			"are read-only; choose another mountPath): %w", target, err)
	}

	if !info.IsDir() {
		file, err := os.OpenFile(at, os.O_CREATE|os.O_RDONLY, 0o644)
		if err != nil {
			return fmt.Errorf("make the mount point %s: %w", target, err)
		}
		_ = file.Close() // nothing was written
	}
	if err := bindOver(source, at, readOnly); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}

	return nil
}

// bindOver binds source, with everything below it, over the existing path at.
func bindOver(source, at string, readOnly bool) error {
	if err := unix.Mount(source, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	if !readOnly {
		return nil
	}

	// mount_setattr, unlike a remount, leaves alone the flags that a user namespace must not
	// change.
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", source, err)
	}

	return nil
}

// mountNew mounts a new file system at a directory that it creates.
func (r rootFS) mountNew(kind, target string, flags uintptr, options string) error {
	at, err := r.within(target)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, at, kind, flags, options); err != nil {
		return fmt.Errorf("mount /%s: %w", target, err)
	}
	return nil
}

// pivot makes the new root the thread's root and lets go of the old one.
func (r rootFS) pivot() error {
	if err := unix.Chdir(r.staging); err != nil {
		return fmt.Errorf("enter the container's root: %w", err)
	}
	// With the same directory for both, the old root lands on top of the new one (pivot_root(2)).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("switch to the container's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the machine's root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter the container's root: %w", err)
	}

	if !r.readOnly {
		return nil
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return fmt.Errorf("make the container's root read-only: %w", err)
	}

	return nil
}
