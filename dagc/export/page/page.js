"use strict";
// The page is whole without this: it only shows one view at a time, zooms, moves, searches and filters.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const box = (svg) => svg.viewBox.baseVal;

// Tabs: one panel at a time; arrow keys go from tab to tab.
const tabs = all('[role="tab"]');
const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
function select(tab) {
  for (const one of tabs) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
    panelOf(one).hidden = one !== tab;
  }
  all(".canvas", panelOf(tab)).forEach((canvas) => canvas.dispatchEvent(new Event("shown")));
}
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
});

// Pixels of the page for a unit of a picture, at most, until somebody zooms.
const LARGEST = 1.4;

// A picture: its view box moves over its drawing.
function picture(canvas) {
  const svg = canvas.shadowRoot?.querySelector("svg");
  if (!svg) return;
  const whole = { x: box(svg).x, y: box(svg).y, width: box(svg).width, height: box(svg).height };
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  canvas.style.aspectRatio = `${whole.width} / ${whole.height}`;
  canvas.classList.add("live");
  const show = (x, y, width, height) => svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  // A small picture is not blown up: what it leaves of the width stays empty.
  const wide = () => Math.max(whole.width, canvas.clientWidth / LARGEST);
  const fitAll = () => show(whole.x, whole.y, wide(), whole.height);
  function fitWidth() {
    canvas.style.aspectRatio = `${wide()} / ${whole.height}`;
    const height = (wide() * canvas.clientHeight) / canvas.clientWidth;
    if (!canvas.clientWidth || height > whole.height) fitAll();
    else show(whole.x, whole.y, wide(), height);
  }
  function zoom(factor, fx = 0.5, fy = 0.5) {
    const { x, y, width, height } = box(svg);
    const scale = Math.min(Math.max((width * factor) / whole.width, 0.02), 4) * whole.width / width;
    show(x + width * fx * (1 - scale), y + height * fy * (1 - scale), width * scale, height * scale);
  }
  const move = (dx, dy) => show(box(svg).x + dx * box(svg).width, box(svg).y + dy * box(svg).height, box(svg).width, box(svg).height);
  function centre(element) {
    const { left, top, width, height } = element.getBoundingClientRect();
    const toDrawing = svg.getScreenCTM().inverse();
    const at = new DOMPoint(left + width / 2, top + height / 2).matrixTransform(toDrawing);
    const view = box(svg);
    const scale = Math.min(1, (whole.width * 0.5) / view.width);
    show(at.x - (view.width * scale) / 2, at.y - (view.height * scale) / 2, view.width * scale, view.height * scale);
  }
  const actions = { in: () => zoom(1 / 1.5), out: () => zoom(1.5), width: fitWidth, all: fitAll };
  const keys = { "+": actions.in, "=": actions.in, "-": actions.out, "0": fitAll, ArrowLeft: () => move(-0.1, 0),
    ArrowRight: () => move(0.1, 0), ArrowUp: () => move(0, -0.1), ArrowDown: () => move(0, 0.1) };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || !keys[event.key]) return;
    keys[event.key]();
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    const { left, top, width, height } = canvas.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, (event.clientX - left) / width, (event.clientY - top) / height);
    event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.add("moving");
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.classList.contains("moving")) return;
    const scale = 1 / svg.getScreenCTM().a;
    show(box(svg).x - event.movementX * scale, box(svg).y - event.movementY * scale, box(svg).width, box(svg).height);
  });
  const still = () => canvas.classList.remove("moving");
  canvas.addEventListener("pointerup", still);
  canvas.addEventListener("pointercancel", still);
  canvas.addEventListener("shown", () => { if (!canvas.dataset.shown) { canvas.dataset.shown = "yes"; fitWidth(); } });
  addEventListener("beforeprint", fitAll);
  const panel = canvas.closest(".panel");
  all("[data-zoom]", panel).forEach((button) => button.addEventListener("click", actions[button.dataset.zoom]));
  search(panel, svg, centre);
  for (const link of all("[data-view]", svg)) {
    const tab = document.getElementById(`tab-${link.dataset.view}`);
    if (!tab) continue;
    link.setAttribute("role", "link");
    link.setAttribute("tabindex", "0");
    link.addEventListener("pointerdown", (event) => event.stopPropagation());
    link.addEventListener("click", () => { select(tab); tab.focus(); });
    link.addEventListener("keydown", (event) => { if (event.key === "Enter") { select(tab); tab.focus(); } });
  }
}

// Search: what has the words stays, all else fades; Enter goes from one to the next.
function search(panel, svg, centre) {
  const field = panel.querySelector(".search"), message = panel.querySelector(".found");
  const rows = (node) => all(".row", node);
  let items = all(".node", svg).flatMap((node) => (rows(node).length ? rows(node) : [node]));
  if (!items.length) items = all("text", svg);
  items.forEach((item) => item.classList.add("item"));
  const words = items.map((item) => item.textContent.toLowerCase());
  let hits = [], place = -1;
  function find() {
    const wanted = field.value.trim().toLowerCase();
    hits = items.filter((item, index) => wanted && words[index].includes(wanted));
    items.forEach((item) => item.classList.remove("current"));
    items.forEach((item) => item.classList.toggle("hit", hits.includes(item)));
    svg.classList.toggle("searching", wanted !== "");
    place = -1;
    message.textContent = wanted ? `${hits.length} found${hits.length > 1 ? ", Enter for the next" : ""}` : "";
  }
  field.addEventListener("input", find);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !hits.length) return;
    hits[place]?.classList.remove("current");
    place = (place + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
    hits[place].classList.add("current");
    centre(hits[place]);
    message.textContent = `${place + 1} of ${hits.length}`;
  });
}

// The timeline: the plot's view box narrows in time only; the ticks follow by the rule that drew the first ones.
const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "us"], [1, "ns"]];
function timeText(ns) {
  if (!ns) return "0";
  const [scale, unit] = UNITS.find(([least]) => ns >= least * 0.9995) ?? UNITS[3];
  return `${Number((ns / scale).toPrecision(4))} ${unit}`;
}
function timeline(root) {
  const plot = root.querySelector(".plot"), axis = root.querySelector(".axis");
  if (!plot) return;
  const whole = box(plot).width, rows = box(plot).height, span = Number(plot.dataset.span);
  const left = plot.x.baseVal.value, wide = plot.width.baseVal.value, top = plot.y.baseVal.value;
  const height = Number(axis.dataset.height);
  const make = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  function ticks(start, shown) {
    const least = shown / 8, power = 10 ** Math.ceil(Math.log10(least) - 1);
    const step = [1, 2, 5, 10].map((factor) => power * factor).find((one) => one >= least);
    const drawn = [];
    for (let at = Math.ceil(start / step) * step; at <= start + shown; at += step) {
      const x = left + ((at - start) / shown) * wide;
      drawn.push(make("line", { x1: x, x2: x, y1: top - 6, y2: height }));
      if (x < left + wide - 30) drawn.push(make("text", { x: x + 3, y: top - 10 }, timeText(at)));
    }
    axis.replaceChildren(...drawn);
  }
  function show(x, width) {
    const within = Math.min(Math.max(width, whole / 400), whole);
    const from = Math.min(Math.max(x, 0), whole - within);
    plot.setAttribute("viewBox", `${from} 0 ${within} ${rows}`);
    ticks((from / whole) * span, (within / whole) * span);
  }
  const zoom = (factor, at = 0.5) => show(box(plot).x + box(plot).width * at * (1 - factor), box(plot).width * factor);
  const move = (share) => show(box(plot).x + box(plot).width * share, box(plot).width);
  const actions = { in: () => zoom(1 / 2), out: () => zoom(2), all: () => show(0, whole) };
  const keys = { "+": actions.in, "=": actions.in, "-": actions.out, "0": actions.all,
    ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };
  all("[data-time]", root).forEach((button) => button.addEventListener("click", actions[button.dataset.time]));
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || !keys[event.key]) return;
    keys[event.key]();
    event.preventDefault();
  });
  plot.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    const frame = plot.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - frame.left) / frame.width);
    event.preventDefault();
  }, { passive: false });
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    plot.classList.add("moving");
  });
  plot.addEventListener("pointermove", (event) => {
    if (plot.classList.contains("moving")) move(-event.movementX / (wide * root.querySelector(".lanes").getScreenCTM().a));
  });
  const still = () => plot.classList.remove("moving");
  plot.addEventListener("pointerup", still);
  plot.addEventListener("pointercancel", still);
  addEventListener("beforeprint", actions.all);
}

// Tables: rows that have the words.
all(".filter").forEach((field) => {
  const rows = all("tbody tr", field.closest("section"));
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    if (wanted) all("details", field.closest("section")).forEach((details) => (details.open = true));
    rows.forEach((row) => (row.hidden = !row.textContent.toLowerCase().includes(wanted)));
  });
});

addEventListener("beforeprint", () => all("details").forEach((details) => (details.open = true)));
all(".canvas").forEach(picture);
all(".timeline").forEach(timeline);
if (tabs.length) select(tabs[0]);

// The section that is being read is marked in the list of sections.
const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-15% 0px -75% 0px" });
all("main > section").forEach((section) => seen.observe(section));
