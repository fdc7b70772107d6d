// Server-sent events out of a fetch() response: yields the parsed JSON of every frame. An event named "error" is thrown
// as a StreamError.
// Lines end at \n (or \r\n) only: model text may hold U+2028 and the like raw.

export class StreamError extends Error {}

export async function* frames(response) {
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
            const frame = JSON.parse(data.join("\n"));
            if (name === "error") throw new StreamError(frame.error);
            yield frame;
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

// What a refused request says, in words: our JSON errors carry {"error"}, validation errors {"detail"}.
export async function problem(response) {
  const text = await response.text();
  try {
    const body = JSON.parse(text);
    if (body.error) return body.error;
    if (Array.isArray(body.detail)) return body.detail.map((d) => d.msg).join("; ");
    if (body.detail) return body.detail;
  } catch {
    // not JSON: fall through to the status
  }
  return `The server answered ${response.status} ${response.statusText}.`;
}
