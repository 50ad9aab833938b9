// The explorer's page: controls on one side, pictures on the other.

import { digitOf } from "./digit.js";
import { fetchJson, imageOf, keep, loadModel, runsHere } from "./models.js";
import { makePad } from "./pad.js";
import { klDivergence, mix, priorDraw, squaredError } from "./split.js";

const SLIDERS = 8;
const WIDEST = 3.5; // of a slider; the prior's standard deviation is 1
const PICTURES = { input: "input", sigma: "σ", x1: "x₁", x2: "x₂", x: "x" };

const find = (id) => document.getElementById(`ex-${id}`);
const state = { file: null, model: null, strokes: null, image: null, z: null, mu: null, logVar: null };
let [listed, taken, rows] = [[], 0, []];

const modelOf = (name) => keep(name, () => loadModel(name));
const examplesOf = (kind) => keep(kind, () => fetchJson(`${kind}.json`));

// ------------------------------------------------------------ pictures

function makePicture(parent, label, description) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", description);
  caption.textContent = label;
  figure.append(canvas, caption);
  parent.append(figure);
  return canvas;
}

// Viridis, as in the notebooks: dark violet 0, yellow 1.
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

const MAP = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[i].map((from, c) => from + (place - i) * (VIRIDIS[i + 1][c] - from));
});

/** Planes of values in [0, 1] as a picture, through a table of 256 colours where there is one. */
function paint(canvas, values, { image_size: size }, table = null) {
  canvas.width = canvas.height = size; // which clears it
  if (!values) return;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(size, size);
  const pixels = size * size;
  const plane = values.length > pixels ? pixels : 0; // grey: one plane for red, green and blue
  for (let p = 0; p < pixels; p++) {
    const colour = table?.[Math.round(255 * values[p])];
    for (let c = 0; c < 3; c++) {
      picture.data[4 * p + c] = colour ? colour[c] : 255 * values[p + c * plane];
    }
    picture.data[4 * p + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

function paintSplit(canvases, split, model) {
  paint(canvases.sigma, split.sigma, model, MAP);
  for (const part of ["x1", "x2", "x"]) paint(canvases[part], split[part], model);
}

// ------------------------------------------------------------ from the state to the pictures

let [busy, again, seedsInSight] = [false, false, false];

/** For tests, the page tells whether it is still computing. */
function setBusy(value) {
  find("pictures").dataset.busy = busy = value;
}

/** Encode where there is a new image, decode, paint; calls during a run are one more run. */
async function update() {
  if (busy) {
    again = true;
    return;
  }
  setBusy(true);
  try {
    do {
      again = false;
      await show();
    } while (again);
  } catch (error) {
    complain(error);
  }
  setBusy(false);
}

async function show() {
  if (state.strokes) setImage(digitOf(state.strokes)); // once a run: pointers move faster
  const { model, image } = state;
  if (image && !state.mu) {
    const { mu, logVar } = await model.encode(image);
    if (image !== state.image || model !== state.model) return;
    Object.assign(state, { mu, logVar, z: Float32Array.from(mu) });
    setSliders();
  }
  const started = performance.now();
  const split = mix(await model.decode(state.z), mixer());
  if (model !== state.model) return;
  paintSplit(pictures, split, model);
  paint(pictures.input, image, model);
  if (find("status").textContent) find("status").textContent = "";
  find("pictures").dataset.milliseconds = (performance.now() - started).toFixed(1);
  say(split);
  if (image && seedsInSight && model.images === "digits" && rows.image !== image) {
    for (const row of rows) await paintRow(row, image);
    rows.image = image;
  }
}

let waiting;

/** Numbers in words, once the reader pauses: a screen reader would read out each. */
function say(split) {
  clearTimeout(waiting);
  const { image, mu, logVar } = state; // a new image may come while this waits
  waiting = setTimeout(() => {
    const mean = split.sigma.reduce((sum, value) => sum + value, 0) / split.sigma.length;
    const parts = [`Mean of σ: ${mean.toFixed(2)}.`];
    if (image && mu) {
      parts.push(`Squared error: ${squaredError(image, split.x).toFixed(1)}.`);
      parts.push(`KL divergence of the posterior: ${klDivergence(mu, logVar).toFixed(1)} nats.`);
    }
    find("numbers").textContent = parts.join(" ");
  }, 300);
}

function setImage(image) {
  Object.assign(state, { strokes: null, image, mu: null, logVar: null });
}

function clear() {
  setImage(null);
  pad.clear();
  pictures.input.setAttribute("aria-label", "input of the encoder: none");
}

function useLatents(z) {
  clear();
  state.z = z;
  setSliders();
  return update();
}

async function takeImage() {
  const { model } = state;
  const all = await examplesOf(model.images);
  const { name, png } = all[taken++ % all.length];
  const image = await imageOf(png, model);
  if (model !== state.model) return; // another one was chosen meanwhile
  pad.clear();
  pictures.input.setAttribute("aria-label", `input of the encoder: ${name}`);
  setImage(image);
  return update();
}

// ------------------------------------------------------------ controls

function mixer() {
  const number = (id) => Number(find(id).value);
  for (const id of ["sharp", "constant"]) find(id).nextElementSibling.value = number(id).toFixed(2);
  find("constant").disabled = !find("use-constant").checked;
  return {
    constant: find("use-constant").checked ? number("constant") : null,
    sharpness: number("sharp"),
    swap: find("swap").checked,
  };
}

function makeSliders() {
  const { model } = state;
  const box = find("sliders");
  box.replaceChildren();
  for (const variable of model.order.slice(0, SLIDERS)) {
    const row = document.createElement("div");
    const spread = model.variance_of_means[variable].toFixed(2);
    row.innerHTML = `<label for="ex-z${variable}">z<sub>${variable}</sub>, var(μ) ${spread}</label>
      <input type="range" id="ex-z${variable}" min="${-WIDEST}" max="${WIDEST}" step="0.05"><output></output>`;
    const [, input, output] = row.children;
    input.dataset.variable = variable;
    input.addEventListener("input", () => {
      state.z[variable] = Number(input.value);
      output.value = state.z[variable].toFixed(2);
      update();
    });
    box.append(row);
  }
}

function setSliders() {
  for (const input of find("sliders").querySelectorAll("input")) {
    const value = state.z[input.dataset.variable];
    input.value = value;
    input.nextElementSibling.value = value.toFixed(2);
  }
}

const kind = (model) =>
  `${model.kind} split (alternation ${model.alternation.toFixed(2)}, agreement with contours ` +
  `${model.contours.toFixed(2)}); ${model.active} of ${model.latent_dim} latent variables are active`;

async function useModel(name) {
  if (state.model) find("status").textContent = "Loading the model …";
  const model = await modelOf(name);
  await examplesOf(model.images); // all that may fail comes before anything is changed
  if (find("model").value !== name) return; // another one was chosen meanwhile
  const sameImages = state.model?.images === model.images;
  Object.assign(state, { file: name, model, mu: null, logVar: null });
  if (!sameImages) {
    setImage(null);
    state.z = new Float32Array(model.latent_dim);
  }
  find("kind").textContent = kind(model);
  for (const id of ["draw", "comparison"]) find(id).hidden = model.images !== "digits";
  makeSliders();
  if (sameImages && (state.image || state.strokes)) await update();
  else if (sameImages) await useLatents(priorDraw(model.latent_dim));
  else await takeImage();
}

async function chooseModel(name) {
  try {
    await useModel(name);
  } catch (error) {
    if (find("model").value !== name) return; // another one was chosen meanwhile
    find("model").value = state.file;
    complain(error);
  }
}

function makeRow({ file, name }) {
  const row = document.createElement("div");
  row.className = "ex-row";
  const text = document.createElement("div");
  text.textContent = name;
  row.append(text);
  find("seeds").append(row);
  const canvases = { file, text };
  for (const part of ["sigma", "x1", "x2", "x"]) {
    canvases[part] = makePicture(row, PICTURES[part], `${PICTURES[part]} of ${name}`);
  }
  return canvases;
}

async function paintRow(row, image) {
  const model = await modelOf(row.file);
  row.text.textContent = `${model.name}: ${kind(model)}`;
  const { mu } = await model.encode(image);
  paintSplit(row, await model.decode(Float32Array.from(mu)), model);
}

const pictures = {};
let pad;

function connectControls() {
  find("model").addEventListener("change", (event) => chooseModel(event.target.value));
  find("image").addEventListener("click", () => takeImage().catch(complain));
  find("clear").addEventListener("click", () => {
    clear();
    update();
  });
  find("prior").addEventListener("click", () => useLatents(priorDraw(state.model.latent_dim)));
  find("mixture").addEventListener("click", () => {
    const { mixture } = state.model;
    useLatents(Float32Array.from(mixture[Math.floor(Math.random() * mixture.length)]));
  });
  find("zero").addEventListener("click", () => useLatents(new Float32Array(state.model.latent_dim)));
  for (const id of ["sharp", "constant", "use-constant", "swap"]) {
    find(id).addEventListener("input", update);
  }
  find("reset").addEventListener("click", () => {
    find("sharp").value = 1;
    find("swap").checked = find("use-constant").checked = false;
    update();
  });
}

async function start() {
  find("status").textContent = "Loading the explorer: several megabytes the first time …";
  listed = await fetchJson("models.json");
  for (const [part, label] of Object.entries(PICTURES)) {
    pictures[part] = makePicture(find("pictures"), label, part === "input" ? "input of the encoder" : label);
  }
  pictures.x.parentElement.className = "ex-main";
  for (const { file, name, kind } of listed) find("model").add(new Option(`${name}: ${kind}`, file));
  rows = listed.filter((model) => model.images === "digits").map(makeRow);
  pad = makePad(find("pad"), (strokes) => {
    if (strokes.length) {
      state.strokes = strokes;
      pictures.input.setAttribute("aria-label", "input of the encoder: your drawing");
    } else clear();
    update();
  });
  connectControls();
  find("model").value = listed[0].file;
  await useModel(listed[0].file);
  find("body").hidden = false;
  // The other models are loaded when their pictures come into sight.
  const observer = new IntersectionObserver(([entry]) => {
    seedsInSight ||= entry.isIntersecting;
    if (seedsInSight) update();
  });
  observer.observe(find("seeds"));
}

function complain(error) {
  const advice = `check the connection and ${state.model ? "choose again" : "load this page again"}`;
  find("status").textContent = runsHere()
    ? `The models could not be loaded: ${advice} (${error.message}).`
    : "The models cannot run here: this browser lacks WebAssembly SIMD.";
}

start().catch(complain);
