// Words of the glossary: hover or focus shows the entry, Escape hides it. Without this script, or
// from the file system, each is still a link to its entry.
"use strict";

const here = document.currentScript.src;
const WAIT = 200; // milliseconds before the box appears or goes, so that the pointer can reach it

const box = document.createElement("div");
Object.assign(box, { id: "term-box", hidden: true });
box.setAttribute("role", "tooltip");
let [glossary, shown, timer, mathematics] = [null, null, 0, null];

async function entryOf(link) {
  const [page, entry] = link.href.split("#");
  glossary ??= fetch(page)
    .then((answer) => answer.text())
    .then((text) => new DOMParser().parseFromString(text, "text/html"));
  return (await glossary).getElementById(entry);
}

// Pages without a formula of their own come without MathJax.
function loadMathematics() {
  mathematics ??= new Promise((loaded) => {
    if (window.MathJax) return loaded();
    window.MathJax = { options: { enableMenu: false } };
    const script = document.createElement("script");
    Object.assign(script, { src: new URL("mathjax/tex-svg.js", here).href, onload: loaded });
    document.head.append(script);
  });
  return mathematics;
}

function place(link) {
  const [at, edge] = [link.getBoundingClientRect(), 8];
  const left = Math.min(at.left, innerWidth - box.offsetWidth - edge);
  const below = at.bottom + edge + box.offsetHeight < innerHeight;
  box.style.left = `${Math.max(edge, left) + scrollX}px`;
  box.style.top = `${scrollY + (below ? at.bottom + 4 : at.top - box.offsetHeight - 4)}px`;
}

function later(action) {
  clearTimeout(timer);
  timer = setTimeout(action, WAIT);
}

function hide() {
  clearTimeout(timer);
  shown?.removeAttribute("aria-describedby");
  [box.hidden, shown] = [true, null];
}

async function show(link) {
  hide();
  shown = link;
  const entry = await entryOf(link).catch(() => null);
  if (!entry || shown !== link) return;
  box.replaceChildren(...[...entry.cloneNode(true).childNodes]);
  for (const inner of box.querySelectorAll("a")) inner.replaceWith(...inner.childNodes);
  box.hidden = false;
  link.setAttribute("aria-describedby", box.id);
  place(link);
  if (box.querySelector(".math")) {
    await loadMathematics();
    await window.MathJax.startup?.promise;
    await window.MathJax.typesetPromise([box]);
    if (shown === link) place(link);
  }
}

document.body.append(box);
for (const link of document.querySelectorAll("a.term")) {
  link.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && later(() => show(link)));
  link.addEventListener("pointerleave", () => later(hide));
  link.addEventListener("focus", () => link.matches(":focus-visible") && show(link));
  link.addEventListener("blur", () => later(hide));
}
box.addEventListener("pointerenter", () => clearTimeout(timer));
box.addEventListener("pointerleave", () => later(hide));
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

// Paper is white: the dark theme's pale letters could not be read on it.
const { dataset } = document.documentElement;
let onScreen;
addEventListener("beforeprint", () => ([onScreen, dataset.theme] = [dataset.theme, "light"]));
addEventListener("afterprint", () => (dataset.theme = onScreen));

// Formulas that scroll on a narrow screen do so by keyboard, too.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const formula of document.querySelectorAll("mjx-container[display]")) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
  }
});
