// The conversation of the steer page, one list of messages for each column: they differ from the first answer on.

// End of a text whose last character was not complete when the generation ended; the model cannot continue it.
const PART_OF_CHARACTER = /\ufffd+$/;

export class Conversation {
  #messages; // by column
  #before = null; // during a run, the messages before it

  constructor(history) {
    this.#messages = history;
  }

  // Messages of a column; during a run with those that it sends.
  of(column) {
    return this.#messages[column];
  }

  // Whether the last message of both columns is the model's.
  get endsWithModel() {
    return Object.values(this.#messages).every((list) => list.length > 0 && isModels(list.at(-1).role));
  }

  get lastUserMessage() {
    return this.#messages.STEERED.filter((message) => message.role === "user").at(-1)?.content;
  }

  // The messages before the boxes' texts, as a link has them; empty if there are none.
  get link() {
    const { DEFAULT, STEERED } = this.#before ?? this.#messages;
    return DEFAULT.length || STEERED.length ? JSON.stringify({ DEFAULT, STEERED }) : "";
  }

  // Begins a run: `message` is the user's, null where the model's last message is continued; `answer` is the
  // beginning of the model's message, or words to add to it.
  begin(message, answer) {
    this.#before = structuredClone(this.#messages);
    for (const list of Object.values(this.#messages)) {
      if (message === null) list.at(-1).content = list.at(-1).content.replace(PART_OF_CHARACTER, "") + answer;
      else list.push({ role: "user", content: message }, ...(answer ? [{ role: "assistant", content: answer }] : []));
    }
  }

  // Ends a run: `texts` by column are new messages or, if `continued`, the ends of the last ones. Without texts the
  // messages of the run are removed, so that the next request is well-formed.
  end(texts, continued) {
    if (!texts) this.#messages = this.#before;
    for (const [column, text] of Object.entries(texts ?? {})) {
      const list = this.#messages[column];
      if (continued) list.at(-1).content += text;
      else list.push({ role: "assistant", content: text });
    }
    this.#before = null;
  }

  clear() {
    this.#messages = { DEFAULT: [], STEERED: [] };
    this.#before = null;
  }
}

export const isModels = (role) => role === "assistant" || role === "model";
