// The drawing area: strokes by mouse, finger or keyboard.

const STEP = 1 / 40;
const PEN = 0.06; // width on the pad; the digit's own is set by digit.js
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Calls changed(strokes) after every change; strokes are lists of [x, y] in [0, 1]. */
export function makePad(canvas, changed) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  let strokes = [];
  let pen = [0.5, 0.5];
  let drawing = null; // the pointer that draws
  let lowered = false; // by keyboard

  function paint() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, side);
    if (!strokes.length) {
      Object.assign(context, { fillStyle: "#9aa5b1", font: `${side / 14}px sans-serif`, textAlign: "center" });
      context.fillText("draw a digit here", side / 2, side / 2);
    }
    Object.assign(context, { strokeStyle: "#fff", lineWidth: PEN * side, lineCap: "round", lineJoin: "round" });
    for (const stroke of strokes) {
      context.beginPath();
      context.moveTo(stroke[0][0] * side, stroke[0][1] * side);
      for (const [x, y] of stroke) context.lineTo(x * side, y * side);
      context.stroke();
    }
    if (document.activeElement === canvas && drawing === null) {
      context.fillStyle = lowered ? "#ffb000" : "#4da3ff";
      context.fillRect(pen[0] * side - 4, pen[1] * side - 4, 8, 8);
    }
  }

  function add(point, begins) {
    pen = point;
    if (begins) strokes.push([point]);
    else strokes.at(-1).push(point);
    paint();
    changed(strokes);
  }

  function clear() {
    [strokes, lowered] = [[], false];
    paint();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return; // a second finger draws nothing
    canvas.setPointerCapture(event.pointerId);
    [drawing, lowered] = [event.pointerId, false];
    add(at(event), true);
  });
  const draws = (event) => event.pointerId === drawing;
  canvas.addEventListener("pointermove", (event) => draws(event) && add(at(event), false));
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => draws(event) && (drawing = null));
  }
  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      pen = pen.map((value, k) => Math.min(1, Math.max(0, value + STEP * arrow[k])));
      if (lowered) add(pen, false);
    } else if (event.key === " ") {
      lowered = !lowered;
      if (lowered) add(pen, true);
    } else if (event.key === "Delete") {
      clear();
      changed(strokes);
    } else return;
    event.preventDefault();
    paint();
  });
  canvas.addEventListener("focus", paint);
  canvas.addEventListener("blur", paint);
  paint();
  return { clear };
}
