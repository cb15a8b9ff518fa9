// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// settingFlags are the flags of the settings. What is wrong with a value is kept until all flags
// were read, so that every mistake is reported at once.
type settingFlags struct {
	table    setting.Table
	values   setting.Settings
	mistakes []error
	// sameNode, otherNode and anyNode are how --placement was spelt by earlier versions.
	sameNode, otherNode, anyNode bool
}

func newSettingFlags(table setting.Table) *settingFlags {
	return &settingFlags{table: table, values: table.Defaults()}
}

func (s *settingFlags) add(f *pflag.FlagSet) {
	for _, field := range s.table {
		flag := f.VarPF(&settingValue{field: field, flags: s}, field.Name, "", field.Usage)
		if reflect.ValueOf(field.Default).IsZero() {
			flag.DefValue = "" // the usage says what it means that nothing is said
		}
		if _, isSwitch := field.Default.(bool); isSwitch {
			flag.NoOptDefVal = "true"
		}
	}
}

// addPlaces adds how --placement was spelt by earlier versions.
func (s *settingFlags) addPlaces(f *pflag.FlagSet) {
	f.BoolVar(&s.sameNode, setting.PlaceSame, false, "--placement same-node")
	f.BoolVar(&s.otherNode, setting.PlaceOther, false, "--placement other-node")
	f.BoolVar(&s.anyNode, setting.PlaceAny, false, "--placement any")
	for _, name := range []string{setting.PlaceSame, setting.PlaceOther, setting.PlaceAny} {
		_ = f.MarkHidden(name) // it exists
	}
}

// offer has the shell offer the choices of each setting that has some, or files.
func (s *settingFlags) offer(cmd *cobra.Command) {
	for _, field := range s.table {
		var words []cobra.Completion
		for _, one := range field.Choices {
			words = append(words, completion(one))
		}
		if len(words) > 0 {
			offer(cmd, field.Name, words...)
		}
		if field.File {
			offerFiles(cmd, field.Name, "yaml", "yml", "json")
		}
	}
}

func completion(one setting.Choice) cobra.Completion {
	if one.Help == "" {
		return one.Value
	}
	return cobra.CompletionWithDesc(one.Value, one.Help)
}

// finish is the settings as the flags say, or everything that is wrong with them.
func (s *settingFlags) finish(f *pflag.FlagSet) (setting.Settings, error) {
	given := map[string]bool{
		setting.PlaceSame: s.sameNode, setting.PlaceOther: s.otherNode, setting.PlaceAny: s.anyNode,
	}
	maps.DeleteFunc(given, func(_ string, is bool) bool { return !is })

	values, mistakes := s.values, s.mistakes
	if len(given) > 1 {
		mistakes = append(mistakes, errors.New(
			"--same-node, --other-node and --any exclude each other: expected one"))
	}
	for name := range given {
		if f.Changed("placement") && s.values.Placement != name {
			mistakes = append(mistakes, fmt.Errorf(
				"--placement %s and --%s exclude each other: expected one",
				s.values.Placement, name))
		}
		values.Placement = name
	}
	return values, errors.Join(mistakes...)
}

// refuseEmpty reports flags that were given an empty text, as by a script whose variable is not
// set: without a word, something else would be done than without a mistake.
func refuseEmpty(f *pflag.FlagSet, names ...string) error {
	var mistakes []error
	for _, name := range names {
		if f.Changed(name) && f.Lookup(name).Value.String() == "" {
			mistakes = append(mistakes, fmt.Errorf("--%s is empty: expected a value, or no --%s",
				name, name))
		}
	}
	return errors.Join(mistakes...)
}

// settingValue is the flag of one setting.
type settingValue struct {
	field setting.Field
	flags *settingFlags
}

// String implements pflag.Value.
func (v *settingValue) String() string {
	if v.flags == nil {
		return "" // pflag asks the zero value
	}
	return v.field.Text(v.flags.values)
}

// Set implements pflag.Value. It never fails: see [settingFlags].
func (v *settingValue) Set(text string) error {
	if v.field.List {
		text = v.field.Append(v.flags.values, text)
	}
	if err := v.field.Parse(&v.flags.values, text); err != nil {
		v.flags.mistakes = append(v.flags.mistakes, fmt.Errorf("--%w", err))
	}
	return nil
}

// Type implements pflag.Value, for the help text.
func (v *settingValue) Type() string {
	if v.field.List {
		return "list"
	}
	if _, isDuration := v.field.Default.(time.Duration); isDuration {
		return "duration"
	}
	return reflect.TypeOf(v.field.Default).String()
}
