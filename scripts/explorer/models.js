// The shipped models, run by onnxruntime-web.

const here = (path) => new URL(path, import.meta.url).href;
const kept = {};

/** What load() gave for this name; a load that failed is forgotten, and the next call tries again. */
export function keep(name, load) {
  kept[name] ??= load().catch((error) => {
    delete kept[name];
    throw error;
  });
  return kept[name];
}

// A module of one function that returns a vector of 128 bits: no such vectors, no module.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0];
SIMD.push(65, 0, 253, 15, 253, 98, 11);

export const runsHere = () =>
  typeof WebAssembly === "object" && WebAssembly.validate(Uint8Array.from(SIMD));

async function fetchFile(path) {
  const answer = await fetch(here(path));
  if (!answer.ok) throw new Error(`${path} is missing`);
  return answer;
}

export const fetchJson = async (path) => (await fetchFile(`./models/${path}`)).json();

let tries = 0;

async function loadRuntime() {
  if (!runsHere()) throw new Error("no WebAssembly SIMD");
  // Fetched here, since the runtime does not get over a failure of its own. Nor do browsers ask
  // again for a module that did not come, unless it has another address.
  const file = await fetchFile("./runtime/ort-wasm-simd-threaded.wasm");
  const [wasm, ort] = await Promise.all([
    file.arrayBuffer(),
    import(`./runtime/ort.wasm.bundle.min.mjs${tries++ ? `?${tries}` : ""}`),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
  return ort;
}

/** A gzip file; it is not called .gz, which some servers announce so that it is unpacked twice. */
async function fetchUnpacked(path) {
  const { body } = await fetchFile(`./models/${path}`);
  const unpacked = body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** One model: what was measured of it, encode(image) and decode(z). */
export async function loadModel(name) {
  const [ort, about, ...files] = await Promise.all([
    keep("runtime", loadRuntime),
    fetchJson(`${name}.json`),
    ...["encoder", "decoder"].map((part) => fetchUnpacked(`${name}.${part}.onnx.z`)),
  ]);
  const { channels, image_size: size } = about;
  const encoder = await ort.InferenceSession.create(files[0]);
  const decoder = await ort.InferenceSession.create(files[1]);
  return {
    ...about,
    async encode(image) {
      const images = new ort.Tensor("float32", image, [1, channels, size, size]);
      const { mu, log_var } = await encoder.run({ images });
      return { mu: mu.data, logVar: log_var.data };
    },
    async decode(z) {
      const out = await decoder.run({ z: new ort.Tensor("float32", z, [1, z.length]) });
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
