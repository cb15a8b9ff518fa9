// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
)

// The scripts and styles of the document: our own, and Apache ECharts as it is in its npm package,
// which browser/package.json pins.
//
//go:embed assets third_party
var files embed.FS

// library is the file of Apache ECharts, and libraryVersion what its package calls itself.
const (
	library        = "third_party/echarts/echarts.min.js"
	libraryVersion = "6.1.0"
)

// styles and scripts are the files that the document holds, in the order in which they are run.
func styles() []string {
	return []string{"assets/report.css", "assets/comparison.css", "assets/print.css"}
}

func scripts() []string {
	return []string{
		library, "assets/base.js", "assets/theme.js", "assets/cdf.js", "assets/timeline.js",
		"assets/matrix.js",
		"assets/pairs.js",
		"assets/report.js",
	}
}

// assets are the contents of the document's scripts and styles, and the policy that permits them
// and nothing else.
type assets struct {
	Styles  []template.CSS
	Scripts []template.JS
	Policy  string
}

func loadAssets(scripts []string) (assets, error) {
	var all assets
	var styleHashes, scriptHashes []string
	for _, name := range styles() {
		content, err := files.ReadFile(name)
		if err != nil {
			return assets{}, fmt.Errorf("read the report's style: %w", err)
		}
		all.Styles = append(all.Styles, template.CSS(content))
		styleHashes = append(styleHashes, hash(content))
	}

	for _, name := range scripts {
		content, err := files.ReadFile(name)
		if err != nil {
			return assets{}, fmt.Errorf("read the report's script: %w", err)
		}
		all.Scripts = append(all.Scripts, template.JS(content))
		scriptHashes = append(scriptHashes, hash(content))
	}

	if len(scripts) == 0 {
		scriptHashes = []string{"'none'"}
	}

	all.Policy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " +
		strings.Join(styleHashes, " ") + "; script-src " + strings.Join(scriptHashes, " ")
	return all, nil
}

// hash is how a Content-Security-Policy names a script or style (Content Security Policy Level 3,
// section 2.3.1).
func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
