// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package untranslated leaves out kubectl's translations, which every process of this program would
// read before it begins: variables of kubectl's packages are texts in the user's language. That
// took a quarter of what an API server without work, or a kubectl, needs to start. Whoever imports
// kubectl imports this package, too.
package untranslated

import "k8s.io/kubectl/pkg/util/i18n"

func init() {
	if err := i18n.SetLoadTranslationsFunc(func() error { return nil }); err != nil {
		panic(err) // another package of ours was sooner
	}
}
