// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the records of a log in the order of the file, with every commit that had begun when
// it was called. A log that is still being written, or whose writer was killed, may hold a line
// without its end: that line is left out.
func Read(path string) ([]Record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the truth log: %w", err)
	}
	defer file.Close()

	if err := awaitCommits(file); err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(file, 1<<16)
	var records []Record
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the truth log: %w", err)
		}
		atEnd := err != nil
		if record, whole, err := parse(line); err != nil {
			return nil, fmt.Errorf("line %d of the truth log %s is not a record: %w", number, path,
				err)
		} else if whole {
			records = append(records, record)
		}

		if atEnd {
			return records, nil
		}
	}
}

// awaitCommits returns when no commit is under way. It lets the next one begin at once.
func awaitCommits(file *os.File) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("wait for commits under way: %w", err)
	}
	return endCommit(file)
}

// parse says whether the line is a whole record; a cut one is no error.
func parse(line []byte) (record Record, whole bool, err error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimSuffix(line, []byte{'\n'})))
	err = decoder.Decode(&record)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Record{}, false, nil
	}
	if err == nil && decoder.More() {
		err = errors.New("something follows the record")
	}
	return record, err == nil, err
}
