"use strict";
// The visitor draws and erases; the network answers at once. Needs network.js and the story's data before it.

(() => {
  const SIDE = 28;
  const story = JSON.parse(document.getElementById("story").textContent);
  const parameters = decoded(story.parameters);
  const find = (id) => document.getElementById(id);
  const canvas = find("sheet");
  const pen = canvas.getContext("2d");
  const scale = canvas.width / SIDE;
  const state = { three: 0, pixels: new Float32Array(SIDE * SIDE), first: [], tool: "erase", cursor: null };

  const pixelsOf = (three) => Float32Array.from(atob(story.threes[three].pixels), (letter) => letter.charCodeAt(0) / 255);

  const signed = (number) => number.toFixed(1).replace("-", "−");

  function show() {
    const logits = logitsOf(state.pixels, parameters);
    const shares = softmax(logits);
    const answer = shares.indexOf(Math.max(...shares));
    logits.forEach((logit, digit) => {
      const change = logit - state.first[digit];
      find(`logit${digit}`).textContent = signed(logit);
      find(`change${digit}`).textContent = Math.abs(change) < 0.05 ? "" : (change > 0 ? "+" : "") + signed(change);
      find(`share${digit}`).textContent = `${(100 * shares[digit]).toFixed(1)} %`;
      find(`bar${digit}`).style.width = `${100 * shares[digit]}%`;
      find(`row${digit}`).classList.toggle("answer", digit === answer);
    });
    const rise = logits[9] - state.first[9];
    const words = Math.abs(rise) < 0.05 ? "as at the start" : `${Math.abs(rise).toFixed(1)} ${rise > 0 ? "higher" : "lower"} than at the start`;
    find("said").textContent = `The network reads a ${answer} (${(100 * shares[answer]).toFixed(1)} %). The score of nine is ${words}.`;
    paint();
  }

  function paint() {
    state.pixels.forEach((value, place) => {
      const grey = Math.round(255 * value);
      pen.fillStyle = `rgb(${grey},${grey},${grey})`;
      pen.fillRect((place % SIDE) * scale, Math.floor(place / SIDE) * scale, scale, scale);
    });
    outline(story.threes[state.three].erase, story.sides.erase, "#ffb000", []);
    outline(story.threes[state.three].draw, story.sides.draw, "#56b4e9", [6, 4]);
    if (state.cursor && document.activeElement === canvas) {
      outline([state.cursor[1] - 1, state.cursor[0] - 1], 3, "#ffffff", [2, 2]);
    }
  }

  function outline([row, column], side, colour, dashes) {
    pen.strokeStyle = colour;
    pen.lineWidth = 3;
    pen.setLineDash(dashes);
    pen.strokeRect(column * scale, row * scale, side * scale, side * scale);
  }

  function fill([row, column], side, value) {
    for (let y = Math.max(0, row); y < Math.min(SIDE, row + side); y++) {
      for (let x = Math.max(0, column); x < Math.min(SIDE, column + side); x++) state.pixels[y * SIDE + x] = value;
    }
  }

  function touch(x, y) {
    fill([y - 1, x - 1], state.tool === "erase" ? 3 : 2, state.tool === "erase" ? 0 : 1);
    show();
  }

  function follow(event) {
    const box = canvas.getBoundingClientRect();
    touch(...[event.clientX - box.left, event.clientY - box.top].map((distance) => Math.floor((distance / box.width) * SIDE)));
  }

  function begin(three) {
    state.three = three;
    state.pixels = pixelsOf(three);
    state.first = logitsOf(state.pixels, parameters);
    document.querySelectorAll("[data-three]").forEach((button) => button.setAttribute("aria-pressed", Number(button.dataset.three) === three));
    document.querySelectorAll("[data-map]").forEach((image) => { image.src = story.threes[three].maps[image.dataset.map]; });
    show();
  }

  const actions = {
    erase: () => fill(story.threes[state.three].erase, story.sides.erase, 0),
    draw: () => fill(story.threes[state.three].draw, story.sides.draw, 1),
    reset: () => { state.pixels = pixelsOf(state.three); },
  };

  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); follow(event); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  canvas.addEventListener("blur", paint);
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [x, y] = state.cursor || [14, 14];
    if (steps[event.key]) state.cursor = [x + steps[event.key][0], y + steps[event.key][1]].map((value) => Math.min(SIDE - 1, Math.max(0, value)));
    else if (event.key === " ") return event.preventDefault(), touch(x, y);
    else return;
    event.preventDefault();
    paint();
  });
  document.querySelectorAll("[name=tool]").forEach((choice) => choice.addEventListener("change", () => { state.tool = choice.value; }));
  document.querySelectorAll("[data-action]").forEach((button) => button.addEventListener("click", () => { actions[button.dataset.action](); show(); }));
  document.querySelectorAll("[data-three]").forEach((button) => button.addEventListener("click", () => begin(Number(button.dataset.three))));

  // An address such as …html#2,erase,draw opens the third three with both changes made.
  const words = location.hash.slice(1).split(",");
  begin(Number(words.find((word) => story.threes[word])) || 0);
  words.filter((word) => actions[word]).forEach((word) => actions[word]());
  show();
  document.documentElement.classList.add("live");
})();
