// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Record is the settings of a scenario as run.json has them. What the version that wrote it did not
// note is missing.
type Record map[string]json.RawMessage

// Key is the name of the setting in a record. Durations are nanoseconds, as their keys say.
func (f Field) Key() string {
	words := strings.Split(f.Name, "-")
	for i := 1; i < len(words); i++ {
		words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
	}
	key := strings.Join(words, "")
	if _, isDuration := f.Default.(time.Duration); isDuration {
		key += "Ns"
	}
	return key
}

// Record notes the settings.
func (t Table) Record(s Settings) Record {
	record := make(Record)
	for _, f := range t {
		if f.Optional && f.Value(s) == f.Default {
			continue
		}
		content, err := json.Marshal(f.Value(s))
		if err != nil {
			// Only a number that is not finite could fail, and Parse takes none.
			panic(fmt.Sprintf("encode setting %s: %v", f.Name, err))
		}
		record[f.Key()] = content
	}
	return record
}

// Recall is the setting as a record has it, if it does.
func (f Field) Recall(r Record) (value any, known bool) {
	content, known := r[f.Key()]
	if !known {
		_, isBool := f.Default.(bool)
		// Earlier versions left out what is false.
		return f.Default, isBool && !f.Optional && len(r) > 0
	}
	to := reflect.New(reflect.TypeOf(f.Default))
	if err := json.Unmarshal(content, to.Interface()); err != nil {
		return f.Default, false
	}
	return to.Elem().Interface(), true
}

// RecallText is the setting as a record has it, as a text; empty if it has none.
func (f Field) RecallText(r Record) string {
	value, known := f.Recall(r)
	if !known {
		return ""
	}
	return text(value)
}

// Recall are the settings of a record; those that it has not are the defaults.
func (t Table) Recall(r Record) Settings {
	var s Settings
	for _, f := range t {
		value, _ := f.Recall(r)
		f.With(&s, value)
	}
	return s
}
