// The arithmetic of the page: mixtures, KL divergence, draws.

/** sigma^t / (sigma^t + (1 - sigma)^t) */
export function sharpen(sigma, t) {
  const [a, b] = [sigma ** t, (1 - sigma) ** t];
  return a / (a + b);
}

/** A split mixed anew: sigma replaced, then sharpened, then x1 and x2 swapped under it.

sigma has a value for each pixel, x1 and x2 as many planes of pixels as there are channels. */
export function mix({ sigma, x1, x2 }, { constant = null, sharpness = 1, swap = false } = {}) {
  const weight = sigma.map((s) => sharpen(constant ?? s, sharpness));
  const [first, second] = swap ? [x2, x1] : [x1, x2];
  const x = first.map((value, i) => {
    const s = weight[i % weight.length];
    return s * value + (1 - s) * second[i];
  });
  return { sigma: weight, x1: first, x2: second, x };
}

/** KL divergence of N(mu, exp(logVar)) from N(0, 1), summed over the latent variables. */
export function klDivergence(mu, logVar) {
  return mu.reduce((sum, m, l) => sum + (m * m + Math.exp(logVar[l]) - 1 - logVar[l]) / 2, 0);
}

export function squaredError(a, b) {
  return a.reduce((sum, value, p) => sum + (value - b[p]) ** 2, 0);
}

/** A draw from the prior: Box and Muller's transform. */
export function priorDraw(latentDim) {
  const draw = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return Float32Array.from({ length: latentDim }, draw);
}
