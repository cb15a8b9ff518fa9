// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// Writer writes the results of a run while it goes on, so that whatever ends it takes at most the
// iteration under way along. The samples come first and are counted in run.json, which is replaced
// as a whole: a reader never takes a part of an iteration for all of it.
type Writer struct {
	Directory
	samples *os.File
	count   int
	size    int64 // of the counted samples
}

// Create makes a directory for the results, which must be new or empty, and takes it for one run:
// of several that begin at the same time all but one get an error.
func Create(path string) (*Writer, error) {
	taken := fmt.Errorf("create the results directory: %s is not empty: expected a new "+
		"directory, so that no result is overwritten", path)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("create the results directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("create the results directory: %w", err)
	}
	if len(entries) > 0 {
		return nil, taken
	}

	file, err := os.OpenFile(filepath.Join(path, "samples.jsonl"),
		os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, taken
	case err != nil:
		return nil, fmt.Errorf("create the results directory: %w", err)
	}
	return &Writer{Directory: Directory(path), samples: file}, nil
}

// Append adds the samples of an iteration, which count from the next Save on. Of one that cannot be
// written whole nothing is left, as far as the disk lets that be done.
func (w *Writer) Append(samples []measure.Sample) error {
	var lines bytes.Buffer
	if err := Write(&lines, samples); err != nil {
		return err
	}

	_, err := w.samples.Write(lines.Bytes())
	if err == nil {
		err = syncFile(w.samples)
	}
	if err != nil {
		_ = w.samples.Truncate(w.size) // run.json does not count what stays
		return fmt.Errorf("write the results: %w", err)
	}

	w.count += len(samples)
	w.size += int64(lines.Len())
	return nil
}

// Save writes what is known of the run, and the digests of its results if it has ended.
func (w *Writer) Save(run Run, summaries []measure.Summary) error {
	run.Schema, run.Samples = Schema, w.count
	if run.State != StateRunning {
		var digests []Summary
		for _, summary := range summaries {
			digests = append(digests, Digest(summary))
		}
		if err := w.json("summary.json", digests); err != nil {
			return err
		}
	}
	return w.json("run.json", run)
}

// Close ends the writing.
func (w *Writer) Close() error {
	if err := w.samples.Close(); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

func (d Directory) json(name string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := d.file(name, append(content, '\n')); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// file replaces a file at once: whoever reads it, also after a crash, finds the old content or the
// new one.
func (d Directory) file(name string, content []byte) error {
	draft := filepath.Join(string(d), "."+name)
	file, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}

	_, err = file.Write(content)
	if err == nil {
		err = syncFile(file)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(draft) // the old content counts
		return err
	}
	return os.Rename(draft, filepath.Join(string(d), name))
}

// syncFile waits until a file is on the disk, where the file system can tell.
func syncFile(file *os.File) error {
	err := file.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
