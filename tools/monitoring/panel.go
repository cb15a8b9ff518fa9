// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// Sizes in the 24 columns of Grafana's grid.
const (
	third       = 8
	half        = 12
	full        = 24
	chartHeight = 8
	statHeight  = 5
)

// query is a question to Prometheus and the name of its answers.
type query struct {
	expr   string
	legend string
}

// source is the data source that the dashboard's variable names.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// targets are queries as panels have them, each told apart by a letter.
func targets(
	queries []query, adjust func(*prometheus.DataqueryBuilder),
) []cog.Builder[variants.Dataquery] {
	var all []cog.Builder[variants.Dataquery]
	for i, q := range queries {
		one := prometheus.NewDataqueryBuilder().Datasource(source()).RefId(string(rune('A' + i))).
			Expr(q.expr).LegendFormat(q.legend).EditorMode(prometheus.QueryEditorModeCode)
		adjust(one)
		all = append(all, one)
	}
	return all
}

// legend is a table of the newest values and the highest ones.
func legend() cog.Builder[common.VizLegendOptions] {
	return common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).
		Placement(common.LegendPlacementBottom).ShowLegend(true).Calcs([]string{"lastNotNull",
		"max"})
}

// chart shows how figures change with time.
func chart(title, unit, description string, queries ...query) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Title(title).Description(description).Datasource(source()).
		Unit(unit).
		Height(chartHeight).Min(0).FillOpacity(10).ShowPoints(common.VisibilityModeAuto).
		Legend(legend()).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending)).
		Targets(targets(queries, func(q *prometheus.DataqueryBuilder) { q.Range() }))
}

// figures shows single numbers.
func figures(title, unit, description string, queries ...query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(description).Datasource(source()).
		Unit(unit).
		Height(statHeight).GraphMode(common.BigValueGraphModeNone).
		ColorMode(common.BigValueColorModeValue).
		Orientation(common.VizOrientationAuto).Thresholds(steps(step{0, "text"})).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Targets(targets(queries, func(q *prometheus.DataqueryBuilder) { q.Instant() }))
}

// spread shows a distribution as it grows.
func spread(title, description, expr string) *heatmap.PanelBuilder {
	return heatmap.NewPanelBuilder().Title(title).Description(description).Datasource(source()).
		Height(chartHeight).
		Color(heatmap.NewHeatmapColorOptionsBuilder().Mode(heatmap.HeatmapColorModeScheme).
			Scheme("Oranges").
			Fill("dark-orange").Scale(heatmap.HeatmapColorScaleExponential).Exponent(0.5).
			Steps(64)).
		Tooltip(heatmap.NewHeatmapTooltipBuilder().Mode(common.TooltipDisplayModeSingle).
			YHistogram(true)).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(units.Seconds).
			AxisPlacement(common.AxisPlacementLeft)).
		Targets(targets([]query{{expr, "{{le}}"}}, func(q *prometheus.DataqueryBuilder) {
			q.Range().Format(prometheus.PromQueryFormatHeatmap)
		}))
}

// column is one of a table.
type column struct {
	title string
	unit  string
	expr  string
}

// grid shows columns of which each has a value for each row: the label that all of them keep.
func grid(title, description, row string, columns ...column) *table.PanelBuilder {
	var queries []query
	names, order, hidden := map[string]string{row: row}, map[string]int{row: 0},
		map[string]bool{"Time": true}
	builder := table.NewPanelBuilder().Title(title).Description(description).Datasource(source()).
		Height(chartHeight).
		ShowHeader(true).FrameIndex(0)
	for i, c := range columns {
		queries = append(queries, query{expr: c.expr})
		value := "Value #" + string(rune('A'+i))
		names[value], order[value] = c.title, i+1
		builder.OverrideByName(c.title, []dashboard.DynamicConfigValue{{Id: "unit", Value: c.unit}})
	}

	return builder.
		WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"excludeByName": hidden, "indexByName": order, "renameByName": names,
		}}).
		Targets(targets(queries, func(q *prometheus.DataqueryBuilder) {
			q.Instant().Format(prometheus.PromQueryFormatTable)
		}))
}

// step is a colour from a value on.
type step struct {
	from  float64
	color string
}

// steps are colours by value; the first counts from minus infinity.
func steps(all ...step) cog.Builder[dashboard.ThresholdsConfig] {
	var thresholds []dashboard.Threshold
	for i, one := range all {
		threshold := dashboard.Threshold{Color: one.color}
		if i > 0 {
			threshold.Value = cog.ToPtr(one.from)
		}
		thresholds = append(thresholds, threshold)
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).
		Steps(thresholds)
}

// painted gives a series, by its name, a colour of its own.
func painted(color string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{{Id: "color",
		Value: map[string]string{"mode": "fixed", "fixedColor": color}}}
}
