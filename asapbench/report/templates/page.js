/* The page's script: filters of the charts and of the cells, tables of what a chart shows, and copying of commands.
   Plotly draws. Every text goes into the document as text, and into a chart with its markup escaped. */
"use strict";
(() => {
  let data = JSON.parse(document.getElementById("data").textContent);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const explorers = [];
  let printing = false;
  let listAllCells = () => {};

  const MOST_PANELS = 8; // before a reader asks for more
  const MOST_ROWS = 200; // of cells
  const PRINTED_WIDTH = 680; // pixels of a page's width in print
  const CONFIG = {
    responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    typesetMath: false, // a $ in a title is a $
    showSendToCloud: false, plotlyServerURL: "", // plotly's own default is a button that uploads the chart
  };

  /* Small helpers */

  function make(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /* Plotly reads a little markup in texts. */
  const literal = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const isDark = () => darkness.matches && !printing;
  const sum = (counted, noun) => `${counted} ${noun}${counted === 1 ? "" : "s"}`;
  const announce = (text) => { document.getElementById("announce").textContent = text; };

  function shown(value) {
    if (value === null || value === undefined) return "-";
    const size = Math.abs(value);
    if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
    return String(Number(value.toPrecision(4))).replace("-", "\u2212");
  }

  const color = (item) => item.look[isDark() ? 1 : 0];

  function faded(hex, opacity) {
    return `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${opacity})`;
  }

  function theme() {
    if (printing) return { ink: "#000", soft: "#444", grid: "#ddd" };
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    return { ink: value("--ink"), soft: value("--soft"), grid: value("--grid") };
  }

  function layout(height, more) {
    const { ink, soft, grid } = theme();
    const family = getComputedStyle(document.documentElement).fontFamily;
    const axis = { gridcolor: grid, zeroline: false, linecolor: soft, tickcolor: soft, automargin: true };
    return {
      height,
      ...(printing ? { width: PRINTED_WIDTH } : { autosize: true }),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family, size: 12.5, color: ink },
      margin: { l: 8, r: 12, t: 12, b: 8 },
      hoverlabel: { font: { family, size: 12.5 }, align: "left", namelength: -1 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      showlegend: false,
      ...more,
      xaxis: { ...axis, ...more.xaxis },
      yaxis: { ...axis, ...more.yaxis },
    };
  }

  const titled = (text) => ({ text: literal(text), font: { color: theme().soft, size: 12 }, standoff: 8 });

  /* The axis of `count` epochs from 1 on, none of which is 0. */
  const fromOne = (count) => ({ ...whole(count), autorangeoptions: { minallowed: 0.5, maxallowed: count + 0.5 } });

  const whole = (count) => (count < 8 ? { dtick: 1 } : { tickformat: "d", nticks: 10 });

  /* How each kind of chart is drawn: items of one panel, and the quantity's number -> traces and layout. */

  const KINDS = {
    lines: {
      draw(chart, items, which, width) {
        const [, unit, scale] = chart.quantities[which];
        const labels = chart.labels(items);
        const traces = items.flatMap((item, n) => curve(item, which, labels[n], chart, items.length > 8));
        const values = items.flatMap((item) => item.v[which].m).filter((value) => value > 0);
        const wide = scale === "loss" && Math.max(...values) > 50 * Math.min(...values);
        const room = Math.max(1, Math.floor(width / (8 * Math.max(...labels.map((label) => label.length)) + 56)));
        const rows = Math.ceil(items.length / room);
        return [traces, layout(330 + 21 * rows, {
          showlegend: true,
          legend: { orientation: "h", y: -0.16, yref: "paper", yanchor: "top", x: 0, font: { size: 12 } },
          hovermode: items.length > 8 ? "closest" : "x unified",
          hoverlabel: { font: { size: 12 }, bgcolor: isDark() ? "#1b2229" : "#ffffff", namelength: -1 },
          xaxis: { title: titled("epoch"), ...fromOne(Math.max(...items.map((item) => item.v[which].m.length))), showgrid: false },
          yaxis: { title: titled(`${chart.quantities[which][0].toLowerCase()}, ${unit}`), type: wide ? "log" : "linear" },
        })];
      },
      table(chart, items, which) {
        const longest = Math.max(...items.map((item) => item.v[which].m.length));
        const epochs = spaced(longest, 8);
        const rows = items.map((item, n) => {
          const { m } = item.v[which];
          const text = (value) => (chart.quantities[which][1] === "percent" && value !== null ? value.toFixed(2) : shown(value));
          const field = (at) => (at < m.length ? text(m[at]) + beside(item.v[which], at, text) : "");
          return [chart.labels(items)[n], item.note, ...epochs.map(field)];
        });
        return [["Configuration", "Seeds", ...epochs.map((at) => `epoch ${at + 1}`)], rows];
      },
    },
    heat: {
      draw(chart, [item], which) {
        const [name, unit, scale] = chart.quantities[which];
        const { x, y, z } = item.v[which];
        const ratio = scale === "ratio";
        // One scale for all panels, so that colours can be compared.
        const all = chart.data.items.flatMap((one) => (one.v[which] ? one.v[which].z.flat() : [])).filter((value) => value !== null);
        const decades = Math.min(2, Math.max(0.5, ...all.filter((value) => value > 0).map((value) => Math.abs(Math.log10(value)))));
        const limits = {
          angle: { zmin: 0, zmax: Math.max(90, ...all), colorscale: "Cividis" },
          ratio: { zmin: -decades, zmax: decades, colorscale: "RdBu" },
          share: { zmin: -1, zmax: 1, colorscale: "RdBu" },
          count: { zmin: 0, zmax: Math.max(1, ...all), colorscale: "Cividis" },
        }[scale];
        const powers = (decades > 1 ? [0.01, 0.1, 1, 10, 100] : [0.1, 0.3, 1, 3, 10]).filter((p) => Math.abs(Math.log10(p)) <= decades);
        const trace = {
          type: "heatmap", x, y: y.map(literal), customdata: z, xgap: 1, ygap: 1, hoverongaps: false, ...limits,
          z: ratio ? z.map((row) => row.map((value) => (value > 0 ? Math.log10(value) : null))) : z,
          hovertemplate: `%{y}, epoch %{x}: %{customdata} ${literal(unit)}<extra></extra>`,
          colorbar: {
            title: { text: literal(unit === "ratio" ? name.toLowerCase() : unit), side: "right", font: { size: 12 } }, thickness: 12, outlinewidth: 0, len: 1,
            ...(ratio ? { tickvals: powers.map(Math.log10), ticktext: powers.map(String) } : {}),
            ...(scale === "angle" ? { dtick: 30 } : {}),
          },
        };
        return [[trace], layout(Math.max(240, 96 + 19 * y.length), {
          xaxis: { title: titled("epoch"), showgrid: false, ...whole(x.length) },
          yaxis: { autorange: "reversed", showgrid: false, type: "category", dtick: 1, tickfont: { size: y.length > 24 ? 9 : 11 } },
        })];
      },
      table(chart, [item], which) {
        const { x, y, z } = item.v[which];
        const columns = spaced(x.length, 12);
        return [["Layer", ...columns.map((at) => `epoch ${x[at]}`)],
          y.map((layer, n) => [layer, ...columns.map((at) => shown(z[n][at]))])];
      },
    },
    bars: {
      draw(chart, items, which) {
        const [name, unit] = chart.quantities[which];
        const values = items.map((item) => item.v[which]);
        const trace = {
          type: "bar", orientation: "h", y: unique(chart.labels(items)), x: values.map((value) => value[0]),
          marker: { color: items.map(color) },
          error_x: { type: "data", symmetric: false, array: values.map(([mid, , high]) => high - mid),
            arrayminus: values.map(([mid, low]) => mid - low), color: "#7b858f", thickness: 1.6, width: 5 },
          customdata: values.map(([, low, high], n) => [shown(low), shown(high), literal(items[n].note)]),
          hovertemplate: `%{y}: %{x:.4~g} ${literal(unit)}<br>%{customdata[0]} to %{customdata[1]}, %{customdata[2]}<extra></extra>`,
        };
        return [[trace], layout(86 + 30 * items.length, {
          bargap: 0.35,
          xaxis: { title: titled(name === "Peak memory" ? `peak memory, ${unit}` : name.toLowerCase()), rangemode: "tozero" },
          yaxis: { autorange: "reversed", showgrid: false, ticks: "", type: "category" },
        })];
      },
      table(chart, items, which) {
        const [name, unit] = chart.quantities[which];
        const labels = chart.labels(items);
        return [["Rule", `${name.toLowerCase()}, ${unit}`, "first quartile", "third quartile", "of"],
          items.map((item, n) => [labels[n], ...item.v[which].map(shown), item.note])];
      },
    },
    stack: {
      draw(chart, items, which, width) {
        const labels = unique(chart.labels(items));
        const part = (at, name, hex, shape) => ({
          type: "bar", orientation: "h", name, y: labels, x: items.map((item) => item.v[0][at] / 1e6),
          marker: { color: hex, pattern: { shape, fillmode: "overlay", solidity: 0.15, size: 7, fgcolor: "#000000" } },
          hovertemplate: `%{y}, ${name}: %{x:.4~g} million<extra></extra>`,
        });
        const ends = {
          type: "scatter", mode: "text", showlegend: false, hoverinfo: "skip", cliponaxis: false, y: labels,
          x: items.map((item) => (item.v[0][0] + item.v[0][1]) / 1e6), textposition: "middle right",
          text: items.map((item) => ` ${item.v[0][2].toFixed(2)} × BP`), textfont: { color: theme().ink, size: 11 },
        };
        const most = Math.max(...items.map((item) => item.v[0][0] + item.v[0][1])) / 1e6;
        return [[part(0, "parameters, 3 P", "#0072B2", ""), part(1, "activations, 2 A", "#E69F00", "/"), ends],
          layout(112 + 30 * items.length, {
            barmode: "stack", bargap: 0.35, showlegend: true,
            legend: { orientation: "h", traceorder: "normal", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
            xaxis: { title: titled("million numbers read or written"), range: [0, (width < 480 ? 1.45 : 1.2) * most] },
            yaxis: { autorange: "reversed", showgrid: false, ticks: "", type: "category" },
          })];
      },
      table(chart, items) {
        const labels = chart.labels(items);
        return [["Rule", "parameters, 3 P", "activations, 2 A", "total", "over BP"],
          items.map((item, n) => [labels[n], shown(item.v[0][0]), shown(item.v[0][1]), shown(item.v[0][0] + item.v[0][1]),
            item.v[0][2].toFixed(3)])];
      },
    },
  };

  /* The ends of the band around a mean: itself where it has none. */
  function ends({ m, s, r }, at) {
    const half = s?.[at] ?? 0;
    return r?.[at] ?? [m[at] - half, m[at] + half];
  }

  function beside({ s, r }, at, text) {
    if (r?.[at]) return ` (${r[at].map(text).join(" to ")})`;
    return s && s[at] !== null ? ` ± ${text(s[at])}` : "";
  }

  function curve(item, which, label, chart, alone) {
    const { m, s, r } = item.v[which];
    const [hex, [, , symbol, dash]] = [color(item), item.look];
    const at = m.map((value, n) => n).filter((n) => m[n] !== null);
    const x = at.map((n) => n + 1);
    const trace = {
      type: "scatter", mode: at.length > 1 ? "lines+markers" : "markers", name: literal(label), x, y: at.map((n) => m[n]),
      line: { color: hex, width: 2, dash },
      marker: { color: hex, symbol, size: 7, maxdisplayed: 12 },
      cliponaxis: false, // a marker at the edge is whole
      legendgroup: String(chart.data.items.indexOf(item)),
      hovertemplate: `${alone ? "%{fullData.name}<br>epoch %{x}: " : ""}%{y:.4~g}${s || r ? "%{customdata}" : ""}${alone ? "<extra></extra>" : ""}`,
      ...(s || r ? { customdata: at.map((n) => beside(item.v[which], n, shown)) } : {}),
    };
    if (!s && !r) return [trace];
    const edge = (side) => at.map((n) => ends(item.v[which], n)[side]);
    const band = {
      type: "scatter", mode: "lines", x: [...x, ...x.slice().reverse()], y: [...edge(1), ...edge(0).reverse()],
      fill: "toself", fillcolor: faded(hex, 0.16), line: { width: 0 }, hoverinfo: "skip", showlegend: false,
      legendgroup: trace.legendgroup,
    };
    return [band, trace];
  }

  /* At most `most` places of `count`, the first and the last among them. */
  function spaced(count, most) {
    if (count <= most) return [...Array(count).keys()];
    return [...new Set([...Array(most).keys()].map((n) => Math.round((n * (count - 1)) / (most - 1))))];
  }

  /* Texts of an axis: equal ones would be one bar. */
  function unique(texts) {
    const seen = new Map();
    return texts.map((text) => {
      const times = (seen.get(text) ?? 0) + 1;
      seen.set(text, times);
      return literal(times > 1 ? `${text} (${times})` : text);
    });
  }

  /* Runs plotly when the first chart is drawn. */
  function readPlotly() {
    if (window.Plotly) return;
    const script = make("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }

  /* A chart with its filters, panels and table. */

  class Explorer {
    constructor(place, chart) {
      this.place = place;
      this.data = chart;
      this.id = chart.id;
      this.kind = KINDS[chart.kind];
      this.quantities = chart.quantities;
      this.which = 0;
      this.limit = MOST_PANELS;
      this.panels = new Map();
      this.rule = chart.fields.indexOf("Rule");
      this.form = make("form", { class: "filters", "aria-label": `Filter: ${chart.title}` });
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.status = make("p", { class: "status", role: "status", "aria-live": "polite" });
      this.grid = make("div", { class: "panels" });
      this.more = make("button", { type: "button", class: "more", hidden: "" });
      this.more.addEventListener("click", () => { this.limit = Infinity; this.update(); });
      this.numbers = make("details", { class: "numbers" }, make("summary", {}, "Show the numbers"));
      this.numbers.addEventListener("toggle", () => this.list());
      this.filters = [];
      this.swatches = [];
      this.filter();
      place.append(this.form, this.status, this.grid, this.more, this.numbers);
      this.update();
    }

    text(item, field) { return this.data.texts[field][item.f[field]]; }

    filter() {
      if (this.quantities.length > 1) {
        const choices = this.quantities.map(([title], n) => [String(n), title]);
        this.select("Show", choices, (value) => { this.which = Number(value); });
      }
      const suites = new Set(this.data.items.flatMap((item) => item.s));
      if (suites.size > 1) this.filterBy("Suite", [...suites].sort((a, b) => a - b).map((n) => [String(n), data.suites[n]]),
        (item, value) => item.s.includes(Number(value)));
      this.data.fields.forEach((name, field) => {
        if (this.data.texts[field].length < 2) return;
        if (field === this.rule) {
          if (this.data.items[0].look) this.checkboxes(field);
        } else {
          this.filterBy(name,
            this.data.texts[field].map((text, n) => [String(n), text]), (item, value) => item.f[field] === Number(value));
        }
      });
      if (this.rules) this.form.append(this.rules);
    }

    select(name, choices, use) {
      const id = `${this.id}-filter-${this.form.childElementCount}`;
      const box = make("select", { id }, ...choices.map(([value, text]) => make("option", { value }, text)));
      box.addEventListener("change", () => { use(box.value); this.update(); });
      this.form.append(make("div", { class: "filter" }, make("label", { for: id }, name), box));
    }

    filterBy(name, choices, passes) {
      let wanted = "";
      this.filters.push((item) => wanted === "" || passes(item, wanted));
      this.select(name, [["", "All"], ...choices], (value) => { wanted = value; });
    }

    checkboxes(field) {
      const texts = this.data.texts[field];
      const chosen = new Set(texts.keys());
      this.filters.push((item) => chosen.has(item.f[field]));
      const summary = make("summary");
      const count = () => { summary.textContent = `Rules: ${chosen.size} of ${texts.length}`; this.update(); };
      const boxes = texts.map((text, n) => {
        const box = make("input", { type: "checkbox" });
        box.checked = true;
        box.addEventListener("change", () => { box.checked ? chosen.add(n) : chosen.delete(n); count(); });
        const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
        this.swatches.push([swatch, this.data.items.find((item) => item.f[field] === n)]);
        return make("label", { class: "choice" }, box, swatch, text);
      });
      const all = make("button", { type: "button" }, "All or none");
      all.addEventListener("click", () => {
        const none = chosen.size > 0;
        boxes.forEach((label, n) => { label.firstChild.checked = !none; none ? chosen.delete(n) : chosen.add(n); });
        count();
      });
      const group = make("fieldset", {}, make("legend", { class: "unseen" }, "Rules"), ...boxes, all);
      this.rules = make("details", { class: "rules" }, summary, group);
      this.rules.open = texts.length <= 8;
      summary.textContent = `Rules: ${texts.length} of ${texts.length}`;
    }

    /* What tells the items of one panel from each other. */
    labels(items) {
      const fields = this.data.fields.map((_, n) => n).filter((n) => !this.data.panel.includes(n));
      const differing = fields.filter((n) => new Set(items.map((item) => item.f[n])).size > 1);
      const used = differing.length ? differing : [this.rule];
      return items.map((item) => {
        const state = item.note.startsWith("n =") || this.data.kind !== "lines" ? "" : ` (${item.note.split(",")[0]})`;
        return used.map((n) => this.text(item, n)).join(", ") + state;
      });
    }

    get visible() {
      return this.data.items.filter((item) => item.v[this.which] && this.filters.every((passes) => passes(item)));
    }

    update() {
      const groups = new Map();
      const visible = this.visible;
      for (const item of visible) {
        const key = this.data.panel.map((field) => item.f[field]).join(" ");
        groups.set(key, [...(groups.get(key) ?? []), item]);
      }
      const shared = this.data.panel.filter((field) => new Set(visible.map((item) => item.f[field])).size < 2);
      const named = this.data.panel.filter((field) => !shared.includes(field));
      const wanted = [...groups].slice(0, this.limit);
      const keys = new Set(wanted.map(([key]) => key));
      for (const [key, panel] of this.panels) {
        if (keys.has(key)) continue;
        observer.unobserve(panel.plot);
        if (panel.drawn) Plotly.purge(panel.plot);
        panel.figure.remove();
        this.panels.delete(key);
      }
      this.grid.classList.toggle("single", wanted.length === 1);
      for (const [key, items] of wanted) {
        const panel = this.panels.get(key) ?? this.panel(key);
        panel.items = items;
        panel.title = (named.length ? named : this.data.panel).map((field) => this.text(items[0], field)).join(", ");
        panel.figure.firstChild.textContent = panel.title;
        panel.plot.setAttribute("aria-label",
          `${this.quantities[this.which][0]}: ${panel.title}. ${sum(items.length, "item")}. "Show the numbers" lists them.`);
        this.grid.append(panel.figure);
        if (panel.drawn) this.draw(panel);
        else if (!panel.plot.style.minHeight) panel.plot.style.minHeight = "330px";
      }
      const left = groups.size - wanted.length;
      this.more.hidden = left <= 0;
      this.more.textContent = `Show ${left} more`;
      const setting = visible.length ? shared.map((field) => this.text(visible[0], field)).join(", ") : "";
      const context = setting && `${setting.charAt(0).toUpperCase()}${setting.slice(1)}. `;
      this.status.textContent = visible.length
        ? `${context}${this.quantities[this.which][3]}. Shown: ${visible.length} of ${this.data.items.length}.`
        : "Nothing passes these filters.";
      this.list();
    }

    panel(key) {
      const plot = make("div", { class: "plot", role: "group" });
      const panel = { plot, figure: make("figure", { class: "panel" }, make("figcaption"), plot), drawn: false };
      plot.draw = () => this.draw(panel);
      this.panels.set(key, panel);
      observer.observe(plot);
      return panel;
    }

    draw(panel) {
      readPlotly();
      const width = printing ? PRINTED_WIDTH : panel.plot.clientWidth || 600;
      const [traces, look] = this.kind.draw(this, panel.items, this.which, width);
      panel.drawn = true;
      panel.plot.style.minHeight = `${look.height}px`;
      Plotly.react(panel.plot, traces, { ...look, uirevision: this.which + 1 }, CONFIG); // newer data leave the zoom
    }

    redraw(everything) {
      for (const [swatch, item] of this.swatches) swatch.style.background = color(item);
      for (const panel of this.panels.values()) if (panel.drawn || everything) this.draw(panel);
    }

    list() {
      this.numbers.querySelectorAll(".scroll").forEach((old) => old.remove());
      if (!this.numbers.open) return;
      for (const { title, items } of this.panels.values()) {
        const [columns, rows] = this.kind.table(this, items, this.which);
        const head = columns.map((name, n) => make("th", { scope: "col", class: n ? "right" : "left" }, name));
        const body = rows.map((row) => make("tr", {}, ...row.map((text, n) =>
          n ? make("td", { class: "right" }, text) : make("th", { scope: "row", class: "left" }, text))));
        const caption = `${title}: ${this.quantities[this.which][0].toLowerCase()}`;
        const table = make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head)),
          make("tbody", {}, ...body));
        this.numbers.append(make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, table));
      }
    }
  }

  /* A chart is drawn when it comes near the window. */
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      target.draw();
    }
  }, { rootMargin: "300px" });

  /* The list of cells */

  /* What a search reads: all but the command, whose first word is the same everywhere. */
  const searched = (row) => [...row.cells].slice(0, -1).map((cell) => cell.textContent).join(" ").toLowerCase();

  function cells() {
    const form = document.getElementById("cell-filters");
    const [search, state] = [document.getElementById("cell-search"), document.getElementById("cell-state")];
    const rows = [...document.querySelectorAll("#cell-table tbody tr")].map((row) => [row, searched(row)]);
    let limit = MOST_ROWS;
    const more = make("button", { type: "button", class: "more" });
    const update = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const [row, text] of rows) {
        const passes = (!state.value || row.dataset.state === state.value) && words.every((word) => text.includes(word));
        count += passes ? 1 : 0;
        row.hidden = !passes || count > limit;
        if (!row.hidden) copyButtons(row);
      }
      const listed = Math.min(count, limit);
      more.hidden = listed === count;
      more.textContent = `List all ${count}`;
      const of = listed === count ? "" : ` (the first ${listed} are listed)`;
      document.getElementById("cell-status").textContent = `Shown: ${count} of ${sum(rows.length, "cell")}${of}.`;
    };
    listAllCells = () => { limit = Infinity; update(); };
    more.addEventListener("click", listAllCells);
    document.getElementById("cell-table").parentElement.after(more);
    let waiting;
    search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(update, 120); });
    state.addEventListener("change", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    update();
  }

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const box = make("textarea", {});
      box.value = text;
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
  }

  function copyButtons(within) {
    for (const code of within.querySelectorAll("code.command:not(.with-copy > code)")) {
      const button = make("button", { type: "button", "aria-label": `Copy: ${code.textContent}` }, "Copy");
      button.addEventListener("click", async () => {
        await copied(code.textContent);
        button.textContent = "Copied";
        announce("Copied");
        setTimeout(() => { button.textContent = "Copy"; announce(""); }, 1500);
      });
      const box = make("div", { class: "with-copy" });
      const words = code.textContent.split(" ");
      code.replaceChildren(...words.flatMap((word, n) => [...(n ? [" "] : []), make("span", {}, word)]));
      code.replaceWith(box);
      box.append(code, button);
    }
  }

  const redraw = (everything = false) => explorers.forEach((one) => one.redraw(everything));

  function explore(place) {
    explorers.push(new Explorer(place, data.charts[Number(place.dataset.chart)]));
    explorers.at(-1).redraw();
  }

  /* For the script of a server, which shows newer results in place. */
  const outside = () => document.querySelectorAll("main > section:not(#cells)").forEach(copyButtons);
  window.asapbenchPage = { explorers, explore, cells, copyButtons: outside, take: (newer) => { data = newer; } };

  for (const place of document.querySelectorAll("[data-chart]")) explore(place);
  cells();
  outside();
  darkness.addEventListener("change", () => redraw());
  addEventListener("beforeprint", () => { printing = true; listAllCells(); redraw(true); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
})();
