/* While the page is served: ask what is new, and show it in place. Position, filters, zoom, open parts and focus stay. */
"use strict";
(() => {
  const POLL_SECONDS = 2;
  const QUIET_SECONDS = 30; // a screen reader hears of updates at most this often
  const page = window.asapbenchPage; // none where there is nothing to show yet
  const sources = new Map(); // the sections as the server sent them, by id
  const charts = new Map(); // the data of the charts, as JSON, by id
  const shownVersion = document.querySelector('meta[name="asapbench-version"]')?.content ?? null;
  let version = shownVersion;
  let madeAt = null;
  let paused = false;
  let held = false;
  let waits = false; // for a hand that drags, or selected text
  let trouble = null;
  let announcedAt = 0;

  /* The bar */

  const style = document.createElement("style");
  style.textContent = `
    .live { position: fixed; right: 0.75rem; bottom: 0.75rem; z-index: 5; display: flex; align-items: center; gap: 0.6rem;
      max-width: calc(100vw - 1.5rem); padding: 0.4rem 0.75rem; font-size: 0.84rem; color: var(--ink);
      background: var(--paper); border: 1px solid var(--strong-line); border-radius: 6px; }
    .live .dot { flex: none; width: 0.6rem; height: 0.6rem; border-radius: 50%; background: var(--good); }
    .live.paused .dot { background: none; border: 2px solid var(--soft); }
    .live.trouble .dot { background: var(--bad); border-radius: 0; }
    .live p { margin: 0; font-variant-numeric: tabular-nums; }
    .live button { flex: none; font: inherit; color: var(--accent); background: none; border: 1px solid var(--line);
      border-radius: 4px; padding: 0.1rem 0.6rem; cursor: pointer; }
    .live .heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    body { padding-bottom: 3.5rem; }
    @media print { .live { display: none; } body { padding-bottom: 0; } }`;
  document.head.append(style);

  const bar = document.createElement("aside");
  bar.className = "live";
  bar.setAttribute("aria-label", "Live view");
  bar.innerHTML = '<span class="dot" aria-hidden="true"></span><p class="age">Live</p>'
    + '<button type="button">Pause</button><p class="heard" role="status" aria-live="polite"></p>';
  document.body.append(bar);
  const [ageText, button, heard] = [".age", "button", ".heard"].map((name) => bar.querySelector(name));
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    announce(paused ? "Updates paused" : "Updates resumed");
    draw();
    if (!paused) poll();
  });

  function announce(text) {
    announcedAt = performance.now();
    heard.textContent = text;
  }

  function ago(seconds) {
    if (seconds < 60) return `${Math.round(seconds)} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    return `${Math.floor(seconds / 3600)} h ago`;
  }

  function draw() {
    bar.classList.toggle("paused", paused);
    bar.classList.toggle("trouble", trouble !== null && !paused);
    const updated = madeAt === null ? "" : `updated ${ago((performance.now() - madeAt) / 1000)}`;
    const live = waits ? "Waits while you select" : "Live";
    const parts = [paused ? "Paused" : page ? trouble ?? live : "Waiting for results", updated];
    ageText.textContent = parts.filter(Boolean).join(" · ");
  }

  /* Asking */

  let timer;
  async function poll() {
    clearTimeout(timer);
    if (!paused && !document.hidden) {
      try {
        const state = await (await fetch("state", { cache: "no-store" })).json();
        const before = trouble;
        trouble = state.problem;
        if (trouble !== before) announce(trouble ?? "The database can be read again");
        madeAt = state.made === null ? null : performance.now() - 1000 * state.made;
        const isNewer = state.version !== null && state.version !== version;
        waits = isNewer && isBusy();
        if (isNewer && !waits) await refresh();
        if (!page && trouble !== null) document.getElementById("reason").textContent = trouble;
      } catch {
        trouble = "The server does not answer; trying again";
      }
      draw();
    }
    timer = setTimeout(poll, 1000 * POLL_SECONDS);
  }

  /* Nothing is exchanged under a hand that drags, or while text is selected to be copied. */
  function isBusy() {
    return held || (page !== undefined && !getSelection().isCollapsed);
  }

  async function refresh() {
    if (!page) {
      history.scrollRestoration = "manual"; // the place in another page means nothing here
      return location.reload();
    }
    const answer = await fetch("update", { cache: "no-store" });
    if (!answer.ok) return undefined;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    waits = isBusy(); // the answer may have taken a while
    if (waits || paused) return undefined;
    show(fresh);
    version = fresh.querySelector('meta[name="asapbench-version"]').content;
    if (performance.now() - announcedAt > 1000 * QUIET_SECONDS) announce("Results updated");
    return undefined;
  }

  /* Showing */

  function show(fresh) {
    const data = JSON.parse(fresh.getElementById("data").textContent);
    const main = document.getElementById("main");
    const restoreFocus = focusKept();
    const restorePosition = positionKept(main);
    page.take(data);
    document.title = fresh.title;
    for (const part of [".top", ".contents ul"]) exchange(document.querySelector(part), fresh.querySelector(part));
    const wanted = new Set([...fresh.querySelectorAll("main > section")].map((section) => section.id));
    for (const section of main.querySelectorAll(":scope > section")) if (!wanted.has(section.id)) drop(section);
    let last = null;
    for (const next of [...fresh.querySelectorAll("main > section")]) {
      const shown = place(document.getElementById(next.id), next, data);
      const follows = last === null ? main.querySelector(":scope > section") === shown : last.nextElementSibling === shown;
      if (!follows) last === null ? main.prepend(shown) : last.after(shown);
      last = shown;
    }
    page.copyButtons();
    restorePosition();
    restoreFocus();
  }

  function exchange(old, next) {
    if (old.innerHTML !== next.innerHTML) old.replaceChildren(...next.childNodes);
  }

  /* The section to show: the old one where nothing has changed, or where a chart is drawn in it. */
  function place(old, next, data) {
    const source = next.outerHTML;
    const isSame = sources.get(next.id) === source;
    sources.set(next.id, source);
    const chart = next.querySelector("[data-chart]");
    if (old && chart) {
      update(old, chart, data.charts[Number(chart.dataset.chart)]);
      if (!isSame) around(old.querySelector("[data-chart]"), chart);
      return old;
    }
    if (old && isSame) return old;
    const restore = old ? partsKept(old) : () => {};
    const shown = document.adoptNode(next);
    if (old) old.replaceWith(shown);
    else document.getElementById("main").append(shown);
    restore(shown);
    if (chart) page.explore(chart);
    if (shown.id === "cells") page.cells();
    return shown;
  }

  function drop(section) {
    const gone = page.explorers.findIndex((explorer) => section.contains(explorer.place));
    if (gone >= 0) page.explorers.splice(gone, 1);
    sources.delete(section.id);
    section.remove();
  }

  /* What stands around a chart, such as a table below it. */
  function around(chart, next) {
    const [before, after] = [[], []];
    let list = before;
    for (const child of [...next.parentElement.children]) {
      if (child === next) list = after;
      else list.push(child);
    }
    const restore = partsKept(chart.parentElement);
    for (const child of [...chart.parentElement.children]) if (child !== chart) child.remove();
    chart.before(...before);
    chart.after(...after);
    restore(chart.parentElement);
  }

  function update(section, next, chart) {
    const explorer = page.explorers.find((one) => section.contains(one.place));
    explorer.place.dataset.chart = next.dataset.chart;
    const choices = ({ fields, texts, quantities, items }) =>
      JSON.stringify([fields, texts, quantities, [...new Set(items.flatMap((item) => item.s))]]);
    const before = explorer.data;
    explorer.data = chart;
    explorer.quantities = chart.quantities;
    const source = JSON.stringify(chart);
    if (charts.get(chart.id) === source) return;
    charts.set(chart.id, source);
    if (choices(before) === choices(chart)) explorer.update();
    else rebuild(explorer);
  }

  /* New choices, such as a rule that was not there before: the form is made again, with what was chosen. */
  function rebuild(explorer) {
    const chosen = [...explorer.form.querySelectorAll("select, input")].map((box) => [named(box), valueOf(box)]);
    const wanted = new Map(chosen);
    explorer.form.replaceChildren();
    explorer.filters = [];
    explorer.which = 0;
    explorer.filter();
    for (const box of explorer.form.querySelectorAll("select, input")) {
      const value = wanted.get(named(box));
      if (value !== undefined && value !== valueOf(box)) choose(box, value);
    }
    explorer.update();
    explorer.redraw();
  }

  const named = (box) => (box.type === "checkbox" ? box.parentElement.textContent : box.parentElement.firstChild.textContent);
  const valueOf = (box) => (box.type === "checkbox" ? box.checked : box.selectedOptions[0]?.textContent);

  function choose(box, value) {
    if (box.type === "checkbox") box.checked = value;
    else {
      const option = [...box.options].find((one) => one.textContent === value);
      if (!option) return;
      option.selected = true;
    }
    box.dispatchEvent(new Event("change"));
  }

  /* What a reader has set, and how to set it again in newer elements */

  function partsKept(section) {
    const open = new Set([...section.querySelectorAll("details[open]")].map(detailsName));
    const scrolled = [...section.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    const values = [...section.querySelectorAll("input[id], select[id]")].map((box) => [box.id, box.value]);
    return (shown) => {
      for (const part of shown.querySelectorAll("details")) if (open.has(detailsName(part))) part.open = true;
      shown.querySelectorAll(".scroll").forEach((box, n) => {
        if (scrolled[n]) [box.scrollLeft, box.scrollTop] = scrolled[n];
      });
      for (const [id, value] of values) {
        const box = shown.querySelector(`#${CSS.escape(id)}`);
        if (box) box.value = value;
        if (box?.selectedIndex === -1) box.selectedIndex = 0;
      }
    };
  }

  function detailsName(part) {
    const row = part.closest("tr, figure, section");
    return `${row?.querySelector("th, figcaption, h2")?.textContent} / ${part.querySelector("summary")?.textContent}`;
  }

  /* The element with the focus is found again by its id, else by its place among its like in the section. */
  function focusKept() {
    const focused = document.activeElement;
    const section = focused?.closest("main > section");
    if (!section) return () => {};
    const like = (within) => [...within.querySelectorAll(focused.tagName)];
    const text = focused.textContent;
    const number = like(section).filter((one) => one.textContent === text).indexOf(focused);
    const range = focused.matches('input[type="search"]') ? [focused.selectionStart, focused.selectionEnd] : null;
    return () => {
      if (focused.isConnected) {
        if (document.activeElement !== focused) focused.focus({ preventScroll: true });
        return;
      }
      const shown = document.getElementById(section.id);
      const found = (focused.id && document.getElementById(focused.id))
        || (shown && like(shown).filter((one) => one.textContent === text)[number]);
      found?.focus({ preventScroll: true });
      if (found && range) found.setSelectionRange(...range);
    };
  }

  /* What stands at the top of the window stays there. */
  function positionKept(main) {
    const sections = [...main.querySelectorAll(":scope > section")];
    const first = scrollY > 0 ? sections.find((section) => section.getBoundingClientRect().bottom > 0) : undefined;
    if (!first) return () => {};
    const { id } = first;
    const { top } = first.getBoundingClientRect();
    return () => {
      const now = document.getElementById(id);
      if (now) scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
    };
  }

  addEventListener("pointerdown", () => { held = true; });
  for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, () => { held = false; });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  setInterval(draw, 1000);
  poll();
})();
