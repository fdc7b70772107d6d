// Server-sent events of a fetch() response: yields the name ("message" without one) and the parsed JSON of each event.
// An event named "error" is thrown as a StreamError.
// Lines end at \n (or \r\n) only: model text may have U+2028 and the like unescaped.

export class StreamError extends Error {}

export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let name = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const raw of lines) {
        const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
        if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        } else if (line.startsWith("event:")) {
          name = line.slice(6).trim();
        } else if (line === "") {
          if (data.length) {
            const content = JSON.parse(data.join("\n"));
            if (name === "error") throw new StreamError(content.error);
            yield { name: name || "message", data: content };
          }
          name = "";
          data = [];
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

// The message of a refused request: our JSON errors have {"error"}, validation errors {"detail"}.
export async function errorMessage(response) {
  const text = await response.text();
  try {
    const body = JSON.parse(text);
    if (body.error) return body.error;
    if (Array.isArray(body.detail)) return body.detail.map((d) => d.msg).join("; ");
    if (body.detail) return body.detail;
  } catch {
    // not JSON: use the status
  }
  return `The server answered ${response.status} ${response.statusText}.`;
}
