// The search box: drop, paste and preview an image, and shrink it before it is sent.
// Everything works without this script. With it, "default-src 'self'" is enough: the preview is
// painted on a canvas, which needs neither data: nor blob: addresses.

const LONGEST = 1024;
const LIGHT = 300_000;
const STUCK = 5000;

function enhance(form) {
  const input = form.elements.namedItem("image");
  const pick = input.closest(".mmsearch-pick");
  const picture = input.closest(".mmsearch-picture");
  const clear = form.querySelector("[data-mmsearch-clear]");
  const status = form.querySelector("[data-mmsearch-status]");
  let turn = 0;

  const say = (name) => {
    status.textContent = name ? status.dataset[name] : "";
  };

  const rest = () => {
    if (form.ariaBusy !== "true") return;
    form.ariaBusy = null;
    say("");
  };

  const show = (canvas) => {
    pick.querySelector("canvas")?.remove();
    for (const old of pick.querySelectorAll("img")) old.hidden = Boolean(canvas);
    if (canvas) pick.prepend(canvas);
  };

  const take = async (file) => {
    const mine = ++turn;
    put(input, file);
    picture.classList.add("mmsearch-picture-set");
    clear.hidden = false;
    for (const link of picture.querySelectorAll("a")) link.hidden = true;
    try {
      const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
      const small = await shrink(bitmap, file);
      if (mine !== turn) return;
      put(input, small);
      show(paint(bitmap, 160, "mmsearch-preview"));
      say("chosen");
    } catch {
      if (mine !== turn) return;
      show(null);
      say("unreadable");
    }
  };

  const drop = () => {
    turn += 1;
    input.value = "";
    show(null);
    clear.hidden = true;
    const links = picture.querySelectorAll("a");
    for (const link of links) link.hidden = false;
    picture.classList.toggle("mmsearch-picture-set", links.length > 0);
    say("removed");
    input.focus();
  };

  input.addEventListener("change", () => (input.files.length ? take(input.files[0]) : drop()));
  clear.addEventListener("click", drop);

  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      form.classList.add("mmsearch-over");
    });
  }
  form.addEventListener("dragleave", (event) => {
    if (!form.contains(event.relatedTarget)) form.classList.remove("mmsearch-over");
  });
  form.addEventListener("drop", (event) => {
    form.classList.remove("mmsearch-over");
    const file = pictureIn(event.dataTransfer);
    if (!file) return;
    event.preventDefault();
    take(file);
  });

  form.addEventListener("submit", (event) => {
    const plain = !input.files.length;
    if (plain || form.ariaBusy === "true") event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    setTimeout(rest, STUCK); // the visitor may have stopped the page from loading
    say("searching");
    if (plain) location.assign(link(form));
  });

  form.classList.add("mmsearch-ready");
  return take;
}

// Without an image the search is a plain link: it can be shared and needs no redirect.
function link(form) {
  const url = new URL(form.action);
  for (const [name, value] of new FormData(form)) {
    const wanted = typeof value === "string" && value.trim() && name !== "csrfmiddlewaretoken";
    if (wanted) url.searchParams.append(name, value);
  }
  return url;
}

function put(input, file) {
  const transfer = new DataTransfer();
  transfer.items.add(file);
  input.files = transfer.files;
}

function pictureIn(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));
}

function paint(bitmap, longest, className = "") {
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.className = className;
  canvas.ariaHidden = "true";
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function shrink(bitmap, file) {
  if (Math.max(bitmap.width, bitmap.height) <= LONGEST && file.size <= LIGHT) return file;
  const canvas = paint(bitmap, LONGEST);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  return blob && blob.size < file.size ? new File([blob], "picture.jpg", { type: blob.type }) : file;
}

const forms = [...document.querySelectorAll("[data-mmsearch-box]")];
const takers = new Map(forms.map((form) => [form, enhance(form)]));

// An image pasted anywhere goes to the box in use, or to the first one. A paste into a field stays
// there if the field belongs to something else, or if the clipboard has text as well.
document.addEventListener("paste", (event) => {
  const file = pictureIn(event.clipboardData);
  const form = forms.find((each) => each.contains(document.activeElement)) ?? forms[0];
  if (!file || !form) return;
  const written = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (written && (!form.contains(written) || event.clipboardData.getData("text/plain"))) return;
  event.preventDefault();
  takers.get(form)(file);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const facet of document.querySelectorAll(".mmsearch-facet[open]")) {
    facet.open = false;
    facet.querySelector("summary").focus();
  }
});

// Back from a product, the browser may show this page as it was left: make it ready again.
addEventListener("pageshow", () => {
  for (const form of forms) form.ariaBusy = null;
});

// Shows the answer to an upload under the address that keeps its image for some minutes.
const address = document.querySelector("[data-mmsearch-address]")?.dataset.mmsearchAddress;
if (address) history.replaceState(null, "", address);
