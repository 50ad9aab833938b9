// The explorer's page: controls on one side, pictures on the other.

import { SIZE, digitOf } from "./digit.js";
import { fetchJson, loadModel } from "./models.js";
import { makePad } from "./pad.js";
import { klDivergence, mix, priorDraw, squaredError } from "./split.js";

const SLIDERS = 8;
const WIDEST = 3.5; // of a slider; the prior's standard deviation is 1
const PICTURES = { input: "input", sigma: "σ", x1: "x₁", x2: "x₂", x: "x" };

const find = (id) => document.getElementById(`ex-${id}`);
const models = [];
const state = { model: null, image: null, z: null, mu: null, logVar: null };
let [digits, nextDigit, rows] = [[], 0, []];

// ------------------------------------------------------------ pictures

function makePicture(parent, label, description) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption");
  canvas.width = canvas.height = SIZE;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", description);
  caption.textContent = label;
  figure.append(canvas, caption);
  parent.append(figure);
  return canvas;
}

const grey = (value) => [255 * value, 255 * value, 255 * value];
// Viridis, as in the notebooks: dark violet 0, yellow 1.
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function mapColour(value) {
  const place = value * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[i].map((from, c) => from + (place - i) * (VIRIDIS[i + 1][c] - from));
}

function paint(canvas, values, colour = grey) {
  const context = canvas.getContext("2d");
  if (!values) return context.clearRect(0, 0, SIZE, SIZE);
  const picture = context.createImageData(SIZE, SIZE);
  values.forEach((value, p) => picture.data.set([...colour(value), 255], 4 * p));
  context.putImageData(picture, 0, 0);
}

function paintSplit(canvases, split) {
  paint(canvases.sigma, split.sigma, mapColour);
  for (const part of ["x1", "x2", "x"]) paint(canvases[part], split[part]);
}

// ------------------------------------------------------------ from the state to the pictures

let [busy, again, seedsInSight] = [false, false, false];

/** Encode where there is a new image, decode, paint; calls during a run are one more run. */
async function update() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    do {
      again = false;
      await show();
    } while (again);
  } catch (error) {
    complain(error);
  }
  busy = false;
}

async function show() {
  const { model, image } = state;
  if (image && !state.mu) {
    const { mu, logVar } = await model.encode(image);
    if (image !== state.image || model !== state.model) return;
    Object.assign(state, { mu, logVar, z: Float32Array.from(mu) });
    setSliders();
  }
  const started = performance.now();
  const split = mix(await model.decode(state.z), mixer());
  paintSplit(pictures, split);
  paint(pictures.input, image);
  if (find("status").textContent) find("status").textContent = "";
  find("pictures").dataset.milliseconds = (performance.now() - started).toFixed(1);
  say(split);
  if (image && seedsInSight && rows.image !== image) {
    rows.image = image;
    for (const row of rows) {
      const { mu } = await row.model.encode(image);
      paintSplit(row, await row.model.decode(Float32Array.from(mu)));
    }
  }
}

let waiting;

/** Numbers in words, once the reader pauses: a screen reader would read out each. */
function say(split) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const mean = split.sigma.reduce((sum, value) => sum + value, 0) / split.sigma.length;
    const parts = [`Mean of σ: ${mean.toFixed(2)}.`];
    if (state.image) {
      parts.push(`Squared error: ${squaredError(state.image, split.x).toFixed(1)}.`);
      parts.push(`KL divergence of the posterior: ${klDivergence(state.mu, state.logVar).toFixed(1)} nats.`);
    }
    find("numbers").textContent = parts.join(" ");
  }, 300);
}

function useImage(image) {
  Object.assign(state, { image, mu: null, logVar: null });
  return update();
}

function useLatents(z) {
  Object.assign(state, { image: null, mu: null, logVar: null, z });
  pad.clear();
  setSliders();
  update();
}

function takeDigit() {
  const { pixels } = digits[nextDigit++ % digits.length];
  pad.clear();
  return useImage(Float32Array.from(atob(pixels), (byte) => byte.charCodeAt(0) / 255));
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

function useModel(model) {
  Object.assign(state, { model, mu: null, logVar: null });
  find("kind").textContent = kind(model);
  makeSliders();
  if (state.image) update();
  else useLatents(priorDraw(model.latent_dim));
}

function makeRow(model) {
  const row = document.createElement("div");
  row.className = "ex-row";
  const text = document.createElement("div");
  text.innerHTML = `<strong>${model.name}</strong>: `;
  text.append(kind(model));
  row.append(text);
  find("seeds").append(row);
  const canvases = { model };
  for (const part of ["sigma", "x1", "x2", "x"]) {
    canvases[part] = makePicture(row, PICTURES[part], `${PICTURES[part]} of ${model.name}`);
  }
  return canvases;
}

const pictures = {};
let pad;

async function start() {
  find("status").textContent = "Loading the models …";
  const listed = await fetchJson("models.json");
  digits = listed.digits;
  for (const name of listed.models) models.push(await loadModel(name));
  for (const [part, label] of Object.entries(PICTURES)) {
    pictures[part] = makePicture(find("pictures"), label, part === "input" ? "input of the encoder" : label);
  }
  pictures.x.parentElement.className = "ex-main";
  models.forEach((model, i) => find("model").add(new Option(`${model.name}: ${model.kind}`, i)));
  rows = models.map(makeRow);
  pad = makePad(find("pad"), (strokes) => {
    const image = digitOf(strokes);
    if (image) useImage(image);
  });
  state.model = models[0];
  find("kind").textContent = kind(state.model);
  makeSliders();
  find("model").addEventListener("change", (event) => useModel(models[event.target.value]));
  find("clear").addEventListener("click", () => pad.clear());
  find("digit").addEventListener("click", takeDigit);
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
  await takeDigit();
  find("body").hidden = false;
  // The other models are loaded when their pictures come into sight.
  const observer = new IntersectionObserver(([entry]) => {
    seedsInSight ||= entry.isIntersecting;
    if (seedsInSight) update();
  });
  observer.observe(find("seeds"));
}

function complain(error) {
  find("status").textContent =
    `The models cannot run here: ${error.message}. They need a current browser with WebAssembly.`;
}

start().catch(complain);
