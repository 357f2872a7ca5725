// Requests the late, better order once the first answer is shown, then moves the cards.
// Without this script a link leads to the same order. No inline style is written, so
// "default-src 'self'" is enough.

const ATTEMPTS = 3;
const LONGEST_WAIT = 30;
const MOVE = { duration: 450, easing: "cubic-bezier(0.2, 0, 0, 1)" };

async function improve(section) {
  const link = section.querySelector("[data-mmsearch-better]");
  const status = section.querySelector("[data-mmsearch-better-status]");
  link.hidden = true;
  status.textContent = status.dataset.working;
  try {
    const better = await ask(link.href);
    const moved = arrange(section.querySelector(".mmsearch-grid"), better);
    const why = better.querySelector("[data-mmsearch-why]");
    section.querySelector("[data-mmsearch-why]").replaceWith(document.adoptNode(why));
    status.textContent = moved ? status.dataset.done : status.dataset.same;
  } catch {
    link.hidden = false;
    status.textContent = status.dataset.failed;
  }
}

// Returns the results of the page behind the link; if the shop is busy, after the time it names.
async function ask(address) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(address, { headers: { Accept: "text/html" } });
    if (response.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const better = page.querySelector(".mmsearch-results[data-mmsearch-judged]");
      if (better) return better;
    }
    if (response.status !== 503 || attempt === ATTEMPTS) throw new Error(response.statusText);
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    await new Promise((done) => setTimeout(done, 1000 * Math.min(seconds, LONGEST_WAIT)));
  }
}

// Puts the cards into the better order; returns whether any of them moved.
function arrange(grid, better) {
  const cells = new Map([...grid.children].map((cell) => [cell.dataset.mmsearchHit, cell]));
  const before = new Map([...grid.children].map((cell) => [cell, cell.getBoundingClientRect()]));
  const fresh = [...better.querySelectorAll(".mmsearch-grid > [data-mmsearch-hit]")];
  const order = fresh.map((next) => {
    const cell = cells.get(next.dataset.mmsearchHit);
    return cell ? renew(cell, next) : document.adoptNode(next);
  });
  const focused = grid.contains(document.activeElement) ? document.activeElement : null;
  const moved = order.some((cell, place) => cell !== grid.children[place]);
  if (moved) grid.replaceChildren(...order);
  focused?.focus({ preventScroll: true });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) slide(order, before);
  return moved;
}

// Gives a cell the better page's content. An unchanged cell stays, so that images do not flicker.
function renew(cell, next) {
  if (cell.innerHTML === next.innerHTML) return cell;
  const targets = [...cell.querySelectorAll("a, button")];
  const place = targets.indexOf(document.activeElement);
  cell.replaceChildren(...document.adoptNode(next).childNodes);
  if (place >= 0) cell.querySelectorAll("a, button")[place]?.focus({ preventScroll: true });
  return cell;
}

// First, last, invert, play: each cell slides from where it was.
function slide(cells, before) {
  for (const cell of cells) {
    const from = before.get(cell);
    const to = cell.getBoundingClientRect();
    const [x, y] = from ? [from.left - to.left, from.top - to.top] : [0, 0];
    if (x || y) cell.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], MOVE);
  }
}

// A prerendered page requests nothing until a visitor sees it.
if (document.prerendering) {
  await new Promise((done) => document.addEventListener("prerenderingchange", done, { once: true }));
}
for (const link of document.querySelectorAll("[data-mmsearch-better]")) {
  improve(link.closest(".mmsearch-results"));
}
