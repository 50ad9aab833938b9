// The shipped models, run by onnxruntime-web.

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

async function fetchFile(path) {
  const answer = await fetch(here(`./models/${path}`));
  if (!answer.ok) throw new Error(`${path} is missing`);
  return answer;
}

export const fetchJson = async (path) => (await fetchFile(path)).json();

/** A gzip file; it is not called .gz, which some servers announce so that it is unpacked twice. */
async function fetchUnpacked(path) {
  const { body } = await fetchFile(path);
  const unpacked = body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** One model: what was measured of it, encode(image) and decode(z), each loaded when first used. */
export async function loadModel(name) {
  const [ort, about] = await Promise.all([loadRuntime(), fetchJson(`${name}.json`)]);
  const { channels, image_size: size } = about;
  const sessions = {};
  const run = async (part, inputs) => {
    sessions[part] ??= fetchUnpacked(`${name}.${part}.onnx.z`).then((file) => ort.InferenceSession.create(file));
    return (await sessions[part]).run(inputs);
  };
  return {
    ...about,
    async encode(image) {
      const images = new ort.Tensor("float32", image, [1, channels, size, size]);
      const { mu, log_var } = await run("encoder", { images });
      return { mu: mu.data, logVar: log_var.data };
    },
    async decode(z) {
      const out = await run("decoder", { z: new ort.Tensor("float32", z, [1, z.length]) });
      const [numbers, images] = [channels * size * size, out.components.data];
      return {
        x: out.x_hat.data,
        x1: images.slice(0, numbers),
        x2: images.slice(numbers),
        sigma: out.weights.data.slice(0, size * size),
      };
    },
  };
}

/** A PNG of a test image in base64, as planes of values in [0, 1]. */
export async function imageOf(png, { channels, image_size: size }) {
  const picture = new Image();
  picture.src = `data:image/png;base64,${png}`;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, size, size);
  const pixels = size * size;
  return Float32Array.from(
    { length: channels * pixels },
    (_, i) => data[4 * (i % pixels) + Math.floor(i / pixels)] / 255,
  );
}
