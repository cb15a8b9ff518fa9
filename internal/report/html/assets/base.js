// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// What the other scripts share: the making of elements, durations as text, colours, and charts that are drawn when
// they come into sight. Texts from the data enter the document as text nodes only.
const report = {
  statuses: ["measured", "censored", "invalid", "deleted", "unobserved"],

  // element makes an element: attributes that are undefined or false are left out, children are nodes or texts.
  element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === false || value === null) continue;
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  },

  // duration writes milliseconds as measure.FormatDuration does.
  duration(ms) {
    const size = Math.abs(ms);
    const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
    return ms.toFixed(digits) + "ms";
  },

  // tick writes a label of an axis.
  tick(ms) {
    if (ms >= 1000) return +(ms / 1000).toPrecision(3) + "s";
    return +ms.toPrecision(3) + "ms";
  },

  // least and most are the extremes of values and bounds; nulls and what is not finite do not count. There may be more
  // values than a function takes arguments.
  least(values, ...bounds) {
    return values.reduce(
      (least, v) => (v !== null && Number.isFinite(v) && v < least ? v : least),
      Math.min(...bounds),
    );
  },
  most(values, ...bounds) {
    return values.reduce((most, v) => (v !== null && Number.isFinite(v) && v > most ? v : most), Math.max(...bounds));
  },

  number(n) {
    return n.toLocaleString("en-GB");
  },

  // colour is the value of a custom property of the style sheet, in the theme that is shown.
  colour(name) {
    return getComputedStyle(document.documentElement)
      .getPropertyValue("--" + name)
      .trim();
  },

  // font is the font of the page, which charts use as well.
  font() {
    return getComputedStyle(document.body).fontFamily;
  },

  // spread tells whether the times of a section spread too far for a linear axis.
  spread(values) {
    const positive = values.filter((v) => v > 0 && Number.isFinite(v)).sort((a, b) => a - b);
    if (positive.length < 2) return false;
    return positive[positive.length - 1] / positive[Math.floor(positive.length / 2)] > 15;
  },
};

// Chart is a box with a chart of ECharts in it. It is drawn when it comes near the part of the document that is seen,
// and anew when the theme, the size or the data change.
report.Chart = class {
  constructor(box, option, drawn = () => {}) {
    Object.assign(this, { box, option, drawn, chart: null });
    report.Chart.all.push(this);
    report.Chart.sight.observe(box);
    report.Chart.sizes.observe(box);
  }

  show() {
    if (this.chart === null) {
      this.chart = echarts.init(this.box, null, {
        renderer: "canvas",
        devicePixelRatio: Math.max(2, window.devicePixelRatio),
      });
      this.drawn(this.chart);
    }
    this.draw();
  }

  draw() {
    if (this.chart === null) return;
    // What is to be drawn comes before the size: a resized chart is drawn at once, and must not draw what is no more.
    // It waits for the size, so that nothing is drawn twice.
    this.chart.setOption(
      { animation: false, textStyle: { fontFamily: report.font() }, ...this.option(this.chart) },
      { notMerge: true, lazyUpdate: true },
    );
    this.chart.resize();
  }
};
report.Chart.all = [];
report.Chart.sight = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      report.Chart.sight.unobserve(entry.target);
      report.Chart.all.find((chart) => chart.box === entry.target).show();
    }
  },
  { rootMargin: "600px" },
);
report.Chart.sizes = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const chart = report.Chart.all.find((one) => one.box === entry.target);
    if (chart.chart !== null && chart.chart.getWidth() !== Math.round(entry.contentRect.width)) chart.draw();
  }
});

// axis is the axis of time that all charts share.
report.timeAxis = (logarithmic, low, high) => ({
  type: logarithmic ? "log" : "value",
  min: low,
  max: high,
  name: "time since the trigger",
  nameLocation: "middle",
  nameGap: 28,
  nameTextStyle: { color: report.colour("muted"), fontSize: 12 },
  axisLine: { show: true, lineStyle: { color: report.colour("hatch") } },
  axisTick: { show: false },
  axisLabel: {
    color: report.colour("muted"),
    fontSize: 12,
    formatter: report.tick,
    hideOverlap: true,
    showMaxLabel: false,
    showMinLabel: !logarithmic,
  },
  splitLine: { lineStyle: { color: report.colour("line") } },
  splitNumber: 4,
});

// tip shows a text beside the pointer.
report.tip = (text, event) => {
  const tip = document.getElementById("tip");
  tip.hidden = text === null;
  if (text === null) return;
  tip.textContent = text;
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  const top =
    event.clientY + 18 + tip.offsetHeight > window.innerHeight
      ? event.clientY - tip.offsetHeight - 12
      : event.clientY + 18;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = top + "px";
};
