// For pages of an app that send people to connect links. It never sees a token.

/** What a person came back with: exactly one of result and error. */
export interface Returned {
  link: string;
  result?: string;
  error?: string;
}

function read(from: { get(name: string): string | null }): Returned | undefined {
  const link = from.get("link"), result = from.get("result"), error = from.get("error");
  if (!link || !result === !error) return;
  return result ? { link, result } : { link, error: error! };
}

/** Reads what the page was returned to with, and takes it out of the address. Send it to your server, which confirms it. */
export function returned(): Returned | undefined {
  const here = new URL(location.href), found = read(here.searchParams);
  if (found) {
    for (const name of ["link", "result", "error"]) here.searchParams.delete(name);
    history.replaceState(history.state, "", here);
  }
  return found;
}

/**
 * Opens a connect link, made with popup: true, in a window of its own, and waits until the person is done. Call it when the
 * person clicks; url may be a promise of your server's answer. It rejects if the window does not open, or is closed.
 */
export async function connect(url: string | Promise<string>): Promise<Returned> {
  const popup = open("", "_blank", "popup,width=600,height=720");
  if (!popup) throw new Error("the browser did not open the window");
  let address: string;
  try {
    popup.location.href = address = await url;
  } catch (cause) {
    popup.close();
    throw cause;
  }
  const { origin } = new URL(address);
  return new Promise((resolve, reject) => {
    const end = () => (clearInterval(watch), removeEventListener("message", hear));
    const hear = (e: MessageEvent) => {
      const found = e.source === popup && e.origin === origin && e.data && read({ get: (name) => e.data[name] ?? null });
      if (found) end(), resolve(found);
    };
    const watch = setInterval(() => {
      if (popup.closed) setTimeout(() => (end(), reject(new Error("the window was closed"))), 500); // its message may be on its way
    }, 500);
    addEventListener("message", hear);
  });
}
