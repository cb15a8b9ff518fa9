// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// The button changes between light and dark; without it the system's preference counts. On paper everything is light.
report.theme = {
  root: document.documentElement,
  system: window.matchMedia("(prefers-color-scheme: dark)"),

  dark() {
    return (this.root.dataset.theme || (this.system.matches ? "dark" : "light")) === "dark";
  },

  set(theme) {
    if (theme) this.root.dataset.theme = theme;
    else delete this.root.dataset.theme;
    this.changed();
  },

  changed() {
    document.getElementById("theme").textContent = this.dark() ? "Light colours" : "Dark colours";
    for (const chart of report.Chart.all) chart.draw();
  },

  start() {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => this.set(this.dark() ? "light" : "dark"));
    this.system.addEventListener("change", () => this.changed());
    let before;
    window.addEventListener("beforeprint", () => {
      before = this.root.dataset.theme;
      this.set("light");
      for (const chart of report.Chart.all) chart.show();
      for (const details of document.querySelectorAll("main details")) details.open = true;
    });
    window.addEventListener("afterprint", () => this.set(before));
    this.changed();
  },
};
