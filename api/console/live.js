// What the console's pages do beyond what they do without scripts: a job's page follows its job, lists are filtered as
// somebody types, and values are copied. The server renders everything; nothing here knows what a page shows.

const byID = id => document.getElementById(id);
const say = text => { byID("said").textContent = text; }; // to screen readers

// A job's page shows what the server sends with each event. Where there are no events, it loads itself again.
function follow(shown) {
  const events = new EventSource(shown.dataset.events);
  const show = event => {
    const focused = shown.contains(document.activeElement) && document.activeElement.id;
    shown.innerHTML = event.data;
    if (focused) byID(focused)?.focus();
  };
  events.addEventListener("progress", show);
  events.addEventListener("end", event => {
    events.close();
    show(event);
    say(byID("status").textContent);
  });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.replace(shown.dataset.again), 5000);
  });
}

// The form of a list asks for it anew while somebody types. Where that does not work, its button does.
function filter(form) {
  let pause, asked = new AbortController();
  const search = async () => {
    asked.abort();
    asked = new AbortController();
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    const address = location.pathname + "?" + new URLSearchParams(given);
    try {
      const answer = await fetch(address, {signal: asked.signal});
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("results");
      if (!answer.ok || answer.redirected || !found) return;
      byID("results").replaceWith(found);
      history.replaceState(null, "", address);
      const rows = found.querySelectorAll("tbody tr").length;
      say(rows + (rows === 1 ? " row" : " rows") + " on this page");
    } catch { /* asked anew, or no connection */ }
  };
  form.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(search, 250);
  });
}

// A field whose value people need elsewhere has a button that copies it.
function copied(field) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy " + field.dataset.copy);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
      say("Copied");
    } catch {
      field.select(); // for the keyboard
    }
  });
  button.addEventListener("blur", () => { button.textContent = "Copy"; });
  field.after(button);
}

for (const shown of document.querySelectorAll("[data-events]")) follow(shown);
for (const form of document.querySelectorAll("form[data-filter]")) filter(form);
if (navigator.clipboard) for (const field of document.querySelectorAll("[data-copy]")) copied(field);
