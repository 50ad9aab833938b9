// The shipped models, run by onnxruntime-web.

import { SIZE } from "./digit.js";

const here = (path) => new URL(path, import.meta.url).href;
let runtime;

async function loadRuntime() {
  if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly");
  runtime ??= import("./runtime/ort.wasm.min.mjs").then((ort) => {
    ort.env.wasm.wasmPaths = here("./runtime/");
    ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
    return ort;
  });
  return runtime;
}

export async function fetchJson(path) {
  const answer = await fetch(here(`./models/${path}`));
  if (!answer.ok) throw new Error(`${path} is missing`);
  return answer.json();
}

/** One model: what was measured of it, encode(image) and decode(z), each loaded when first used. */
export async function loadModel(name) {
  const ort = await loadRuntime();
  const about = await fetchJson(`${name}.json`);
  const sessions = {};
  const run = async (part, inputs) => {
    sessions[part] ??= ort.InferenceSession.create(here(`./models/${name}.${part}.onnx`));
    return (await sessions[part]).run(inputs);
  };
  return {
    ...about,
    async encode(image) {
      const images = new ort.Tensor("float32", image, [1, 1, SIZE, SIZE]);
      const { mu, log_var } = await run("encoder", { images });
      return { mu: mu.data, logVar: log_var.data };
    },
    async decode(z) {
      const out = await run("decoder", { z: new ort.Tensor("float32", z, [1, z.length]) });
      const [pixels, images] = [SIZE * SIZE, out.components.data];
      return {
        x: out.x_hat.data,
        x1: images.slice(0, pixels),
        x2: images.slice(pixels),
        sigma: out.weights.data.slice(0, pixels),
      };
    },
  };
}
