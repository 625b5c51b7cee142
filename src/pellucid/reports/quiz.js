"use strict";
(() => {
  const quiz = JSON.parse(document.getElementById("quiz").textContent);
  const truth = JSON.parse(atob(quiz.truth));
  const key = "pellucid-quiz-" + quiz.quiz;
  const Z = 1.959963984540054;
  const state = { answers: [{}, {}], part: 0 };

  const kept = () => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
  const keep = () => { try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* then a reload starts anew */ } };
  const percent = (share) => Math.round(100 * share) + " %";
  const signed = (share) => (share > 0 ? "+" : "") + Math.round(100 * share);

  // The score interval of a share, and the adjusted interval of a paired difference: as in the library.
  function shareInterval(right, total) {
    const share = right / total, scale = 1 + Z * Z / total, middle = (share + Z * Z / (2 * total)) / scale;
    const half = Z / scale * Math.sqrt(share * (1 - share) / total + Z * Z / (4 * total * total));
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }

  function pairedInterval(gained, lost, total) {
    const up = (gained + 1) / (total + 2), down = (lost + 1) / (total + 2);
    const half = Z * Math.sqrt((up + down - (up - down) ** 2) / (total + 2));
    return [Math.max(-1, up - down - half), Math.min(1, up - down + half)];
  }

  function show() {
    document.getElementById("part0").hidden = state.part !== 0;
    document.getElementById("part1").hidden = state.part !== 1;
    document.getElementById("end").hidden = state.part !== 2;
    if (state.part === 2) score();
    scrollTo(0, 0);
  }

  function score() {
    const total = quiz.asked;
    const right = [0, 1].map((arm) => truth.map((answer, number) => state.answers[arm][number] === answer));
    const counts = right.map((row) => row.filter(Boolean).length);
    const gained = truth.filter((_, number) => right[1][number] && !right[0][number]).length;
    const lost = truth.filter((_, number) => !right[1][number] && right[0][number]).length;
    const [low, high] = pairedInterval(gained, lost, total);
    const lines = counts.map((count, arm) => {
      const [from, to] = shareInterval(count, total);
      return (arm ? "With the explanations" : "Without explanations") +
        ` you predicted ${count} of ${total} (${percent(count / total)}; 95 % interval ${percent(from)} to ${percent(to)}).`;
    });
    const verdict = low > 0 ? "The explanations helped you." : high < 0 ? "The explanations misled you." : "No difference was shown.";
    lines.push(`The difference is ${signed((gained - lost) / total)} points (95 % interval ${signed(low)} to ${signed(high)}). ${verdict}`);
    const list = document.createElement("ul");
    for (const line of lines) list.append(Object.assign(document.createElement("li"), { textContent: line }));
    document.getElementById("score").replaceChildren(list);
  }

  function record() {
    const named = (answers) => Object.fromEntries(Object.entries(answers).map(([number, place]) => [number, quiz.choices[place]]));
    const answers = Object.fromEntries(quiz.arms.map((arm, number) => [arm, named(state.answers[number])]));
    return JSON.stringify({ quiz: quiz.quiz, reader: document.getElementById("name").value.trim(), answers }, null, 1) + "\n";
  }

  document.querySelectorAll("input[type=radio]").forEach((choice) => choice.addEventListener("change", () => {
    const [, arm, number] = choice.name.match(/^a(\d+)q(\d+)$/);
    state.answers[arm][number] = Number(choice.value);
    document.getElementById(choice.name).classList.remove("open");
    keep();
  }));

  document.querySelectorAll("[data-next]").forEach((button) => button.addEventListener("click", () => {
    const arm = Number(button.dataset.next);
    const open = truth.map((_, number) => number).filter((number) => state.answers[arm][number] === undefined);
    open.forEach((number) => document.getElementById(`a${arm}q${number}`).classList.add("open"));
    const said = document.getElementById(`said${arm}`);
    said.textContent = open.length ? `${open.length} of the questions are not answered yet: guess where you do not know.` : "";
    if (open.length) return document.getElementById(`a${arm}q${open[0]}`).scrollIntoView({ block: "center" });
    state.part = arm + 1;
    keep();
    show();
  }));

  document.getElementById("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = "data:application/json;charset=utf-8," + encodeURIComponent(record());
    link.download = "answers.json";
    link.click();
  });

  Object.assign(state, kept());
  state.answers.forEach((answers, arm) => Object.entries(answers).forEach(([number, place]) => {
    const choice = document.querySelector(`input[name=a${arm}q${number}][value="${place}"]`);
    if (choice) choice.checked = true;
  }));
  window.pellucidQuiz = { state, record, show };
  show();
})();
