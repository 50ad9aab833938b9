// Pen strokes as a digit of MNIST: scaled to 20 pixels, centred by its mass, 32 x 32 in [0, 1].

export const SIZE = 32;
const BOX = 20; // height or width of MNIST's digits in pixels, whichever is larger
const CENTRE = 16; // index of the pixel in which the centre of mass of its digits lies
const RADIUS = 1.2; // of the pen in pixels: about the ink of a test digit
const SMALLEST = 0.1; // side of the pad up to which a drawing is not enlarged any more

function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const t = length ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

function render(strokes) {
  const pixels = new Float32Array(SIZE * SIZE);
  for (const points of strokes) {
    for (let i = 0; i < points.length; i++) {
      const [a, b] = [points[i], points[i + 1] ?? points[i]];
      for (let p = 0; p < pixels.length; p++) {
        const d = distance([p % SIZE, Math.floor(p / SIZE)], a, b);
        pixels[p] = Math.max(pixels[p], Math.min(1, Math.max(0, RADIUS + 0.5 - d)));
      }
    }
  }
  return pixels;
}

function centreOfMass(pixels) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((value, p) => {
    mass += value;
    x += value * (p % SIZE);
    y += value * Math.floor(p / SIZE);
  });
  return [x / mass, y / mass];
}

/** strokes: lists of [x, y], with 1 the side of the pad; null without any point. */
export function digitOf(strokes) {
  const points = strokes.flat();
  if (!points.length) return null;
  const span = (k) => {
    const values = points.map((point) => point[k]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[left, right], [top, bottom]] = [span(0), span(1)];
  const scale = (BOX - 2 * RADIUS - 1) / Math.max(right - left, bottom - top, SMALLEST);
  const placed = (dx, dy) =>
    strokes.map((stroke) =>
      stroke.map(([x, y]) => [
        (x - (left + right) / 2) * scale + CENTRE + dx,
        (y - (top + bottom) / 2) * scale + CENTRE + dy,
      ]),
    );
  const [x, y] = centreOfMass(render(placed(0, 0)));
  return render(placed(CENTRE - x, CENTRE - y));
}
