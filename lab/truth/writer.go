// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Writer appends records to a log that other processes may be appending to as well. Use it from one
// goroutine at a time.
type Writer struct {
	file *os.File
}

// OpenWriter opens a log for appending, and makes it if it does not exist.
func OpenWriter(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the truth log: %w", err)
	}
	if err := endCutLine(file); err != nil {
		return nil, errors.Join(fmt.Errorf("mend the truth log: %w", err), file.Close())
	}
	return &Writer{file: file}, nil
}

// endCutLine keeps the next record apart from the beginning of one that a killed process left.
func endCutLine(file *os.File) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, end-1); err != nil {
		return err
	}

	if last[0] == '\n' {
		return nil
	}
	_, err = file.Write([]byte{'\n'})
	return err
}

// Begin announces a commit: until Write has recorded it, Read waits. Packets may follow a commit
// sooner than its line reaches the log, and a reader that was let in between would miss what it has
// already seen. The lock is shared, so several writers commit at once (flock(2)).
func (w *Writer) Begin() error {
	if err := unix.Flock(int(w.file.Fd()), unix.LOCK_SH); err != nil {
		return fmt.Errorf("announce a commit in the truth log: %w", err)
	}
	return nil
}

// Write appends one record and ends what Begin began. It hands the whole line to the kernel in one
// call, and the kernel appends what a call hands over in one piece, so lines of several processes
// do not mix.
func (w *Writer) Write(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a truth record: %w", err)
	}
	if _, err := w.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write to the truth log: %w", err)
	}
	return endCommit(w.file)
}

func endCommit(file *os.File) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_UN); err != nil {
		return fmt.Errorf("unlock the truth log: %w", err)
	}
	return nil
}

// Close closes the log.
func (w *Writer) Close() error { return w.file.Close() }
