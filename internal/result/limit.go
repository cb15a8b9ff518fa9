// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// The most that is read of a run, in bytes and in samples: what others have written must not fill
// the memory. They are a hundred times what the largest runs have.
const (
	longestSample = 1 << 20
	mostSamples   = 2_000_000
	largestFile   = 16 << 20
)

var errLongSample = errors.New("expected samples of at most 1 MiB each, one on a line")

// limitLines ends a stream with an error where a line is longer than a sample may be.
type limitLines struct {
	stream io.Reader
	length int // of the line so far
}

func (l *limitLines) Read(p []byte) (int, error) {
	n, err := l.stream.Read(p)
	if at := bytes.LastIndexByte(p[:n], '\n'); at >= 0 {
		l.length = -at - 1
	}
	if l.length += n; l.length > longestSample {
		return 0, errLongSample
	}
	return n, err
}

// readFile reads a file of limited size.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	content, err := io.ReadAll(io.LimitReader(file, largestFile+1))
	if err == nil && len(content) > largestFile {
		err = fmt.Errorf("read %s: expected at most %d MiB: is it of a run?", path, largestFile>>20)
	}
	return content, err
}
