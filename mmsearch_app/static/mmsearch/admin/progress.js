// Keeps the rebuild's progress up to date; the page says the same after a reload without it.

const EVERY = 2000;

function show(box, state) {
  const bar = box.querySelector("progress");
  const output = box.querySelector("output");
  const warning = box.querySelector("[data-mmsearch-warning]");
  const text = box.querySelector("[data-mmsearch-text]");
  if (state.percent === null) {
    bar.removeAttribute("value");
    output.textContent = "";
  } else {
    bar.value = state.percent;
    output.textContent = `${state.percent} %`;
  }
  // Written only when changed: a screen reader reads every change aloud.
  if (text.textContent !== state.text) text.textContent = state.text;
  if (warning.textContent !== state.warning) warning.textContent = state.warning;
  warning.hidden = !state.warning;
}

async function follow(box) {
  try {
    const response = await fetch(box.dataset.mmsearchProgress, {
      headers: { Accept: "application/json" },
    });
    if (response.redirected || response.status === 403) return; // logged out meanwhile
    if (response.ok) {
      const state = await response.json();
      if (!state.open) {
        location.reload();
        return;
      }
      show(box, state);
    }
  } catch {
    // The server restarts, or the network is away: ask again.
  }
  setTimeout(follow, document.hidden ? 5 * EVERY : EVERY, box);
}

for (const box of document.querySelectorAll("[data-mmsearch-progress]")) {
  setTimeout(follow, EVERY, box);
}
