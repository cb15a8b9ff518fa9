// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// criTimestamp is the time format of the CRI log format.
	criTimestamp = "2006-01-02T15:04:05.000000000Z07:00"
	// maxLogLine is where a line is split into a partial one (P) and its rest, as CRI runtimes do.
	maxLogLine = 16 << 10
)

// logWriter writes what a container says in the CRI log format: time, stream, F or P, and the line.
type logWriter struct {
	path string
	pump sync.WaitGroup

	mu   sync.Mutex
	file *os.File
	size int64
	// followers are names of the file by which others read it who do not notice a rotation.
	followers map[string]bool

	stdout, stderr *os.File // the container's ends
}

// newLogWriter makes the log file, which everybody on the machine may read, and the two pipes.
func newLogWriter(path string) (w *logWriter, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the log directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("make the container's log: %w", err)
	}

	w = &logWriter{path: path, file: file, followers: make(map[string]bool)}
	if w.stdout, err = w.stream("stdout"); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if w.stderr, err = w.stream("stderr"); err != nil {
		return nil, errors.Join(err, w.stdout.Close(), file.Close())
	}

	return w, nil
}

// stream returns the writing end of a pipe whose lines go to the log until every writer has closed.
func (w *logWriter) stream(name string) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the container's %s: %w", name, err)
	}
	w.pump.Go(func() {
		defer reader.Close()
		lines := bufio.NewReaderSize(reader, maxLogLine)
		for {
			line, err := lines.ReadSlice('\n')
			if len(line) > 0 {
				w.write(name, line, err == nil || errors.Is(err, io.EOF))
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	})

	return writer, nil
}

func (w *logWriter) write(stream string, line []byte, full bool) {
	tag := "P"
	if full {
		tag = "F"
	}
	if n := len(line); line[n-1] == '\n' {
		line = line[:n-1]
	}

	entry := make([]byte, 0, len(line)+64)
	entry = time.Now().UTC().AppendFormat(entry, criTimestamp)
	entry = append(append(append(entry, ' '), stream...), ' ')
	entry = append(append(append(entry, tag...), ' '), line...)
	entry = append(entry, '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	// A full disk must not stop the container.
	written, _ := w.file.Write(entry)
	w.size += int64(written)
	for name := range w.followers {
		poke(name)
	}
}

// poke wakes who waits for changes of a file under a name; a change of its mode is one, and costs
// no line.
func poke(name string) { _ = os.Chmod(name, 0o644) }

// keptLogs is how many files a log consists of at the most, as with a kubelet.
const keptLogs = 5

// rotate renames a log that is longer than so many bytes, and begins a new one. Who follows a name
// of their own reads what was written, and then nothing more.
func (w *logWriter) rotate(size int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size <= size {
		return nil
	}

	old := w.path + time.Now().UTC().Format(".20060102-150405.000000")
	if err := os.Rename(w.path, old); err != nil {
		return fmt.Errorf("rotate a log: %w", err)
	}
	file, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("rotate a log: %w", err)
	}
	_ = w.file.Close() // as for a line that could not be written
	w.file, w.size = file, 0
	clear(w.followers)

	rotated, err := filepath.Glob(w.path + ".*") // in the order of their times
	if err != nil {
		return fmt.Errorf("find rotated logs: %w", err)
	}
	for len(rotated) >= keptLogs {
		if err := os.Remove(rotated[0]); err != nil {
			return fmt.Errorf("remove a rotated log: %w", err)
		}
		rotated = rotated[1:]
	}
	return nil
}

// follow gives the file a name by which it can be read as kubelets before 1.27 read logs: they do
// not notice its rotation.
func (w *logWriter) follow(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := os.Link(w.path, name); err != nil {
		return fmt.Errorf("follow a log: %w", err)
	}
	w.followers[name] = true
	return nil
}

// unfollow takes the name back.
func (w *logWriter) unfollow(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.followers, name)
	_ = os.Remove(name) // with the lab at the latest
}

// closeContainerEnds must be called once the container has its own copies, or never will.
func (w *logWriter) closeContainerEnds() {
	_ = w.stdout.Close() // nothing was written here
	_ = w.stderr.Close() // the same
}

// finish waits until everything that the ended container said is in the file.
func (w *logWriter) finish() {
	w.pump.Wait()
	_ = w.file.Close() // as for a line that could not be written
}
