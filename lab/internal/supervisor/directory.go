// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
)

const (
	// temporaryPattern names the directories of labs that were given none.
	temporaryPattern = "netpol-latency-lab-"
	// minStaleAge is the age from which a temporary directory is locked if its lab is alive.
	minStaleAge = 10 * time.Second
	// longestSocket is the room for a socket's path in struct sockaddr_un (unix(7)).
	longestSocket = 107
)

// directory is a state directory that no other lab can use.
type directory struct {
	layout.Dir
	temporary bool
	lock      *os.File
}

// openDirectory locks the state directory, or a new temporary one if dir is empty, and removes what
// an earlier lab left there, so that nobody reads old truth.
func openDirectory(dir layout.Dir) (_ *directory, err error) {
	d := &directory{Dir: dir, temporary: dir == ""}
	if d.temporary {
		if d.Dir, err = temporaryDir(); err != nil {
			return nil, err
		}
	}

	if excess := len(d.Control()) - longestSocket; excess > 0 {
		return nil, fmt.Errorf("the path of --dir is %d characters too long for the sockets in "+
			"it: choose a shorter one", excess)
	}
	if err := os.MkdirAll(string(d.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}

	if d.lock, err = hold(d.Dir); err != nil {
		return nil, err
	}
	if err := d.clear(d.Truth(), d.Commits(), d.Log(""), d.Node("")); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}

	return d, nil
}

// close gives the directory up. What a lab leaves for its user is the logs and the truth log.
func (d *directory) close() error {
	defer d.lock.Close() // nothing was written
	if d.temporary {
		if err := os.RemoveAll(string(d.Dir)); err != nil {
			return fmt.Errorf("remove the temporary state directory: %w", err)
		}
		return nil
	}
	return d.clear()
}

// clear removes what is of use only while a lab runs, and more.
func (d *directory) clear(more ...string) error {
	sockets, err := filepath.Glob(string(d.Dir) + "/*.sock")
	if err != nil {
		return fmt.Errorf("clear the state directory: %w", err)
	}
	old := append(append(more, sockets...),
		d.Kubeconfig(), d.State(), d.Config(""), d.Credentials(""), d.Bin(), d.Cache(),
		d.Volatile(), d.Images())
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("clear the state directory: %w", err)
		}
	}

	return nil
}

// temporaryDir makes a state directory for a lab that ends with this process, and removes those
// that labs left behind which were killed together with their supervisors.
func temporaryDir() (layout.Dir, error) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPattern+"*"))
	if err != nil {
		return "", fmt.Errorf("look for old labs: %w", err)
	}
	for _, path := range old {
		removeStale(path)
	}
	dir, err := os.MkdirTemp("", temporaryPattern)
	if err != nil {
		return "", fmt.Errorf("make a state directory: %w", err)
	}
	return layout.Dir(dir), nil
}

// removeStale removes a directory that was this user's lab and is no more. Anyone may put anything
// into a directory for temporary files, so it must be what it seems to be.
func removeStale(path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || time.Since(info.ModTime()) < minStaleAge {
		return
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return
	}

	lock, err := hold(layout.Dir(path))
	if err != nil {
		return // it runs
	}
	defer lock.Close()
	_ = os.RemoveAll(path) // what cannot be removed now will be met again
}

// hold locks a state directory for as long as the file stays open, here or in a child.
func hold(dir layout.Dir) (*os.File, error) {
	lock, err := os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return lock, nil
	}

	_ = lock.Close() // nothing was written
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("another lab runs in %s: stop it, or choose another --dir",
			string(dir))
	}

	return nil, fmt.Errorf("lock the state directory: %w", err)
}

// held reports whether a lab runs in the directory.
func held(dir layout.Dir) bool {
	lock, err := os.Open(dir.Lock())
	if err != nil {
		return false
	}
	defer lock.Close()
	return errors.Is(unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
