"""The outputs of one steering request: the only place that holds their text while it is generated."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from memicos_inference_client.models import (
    ChatOutput,
    ChatResponse,
    CompletionOutput,
    CompletionResponse,
)
from memicos_inference_client.models import OutputDelta as InferenceOutputDelta
from memicos_inference_client.models import SteerDelta as InferenceDelta

from memicos_webapp.inference.prompts import ChatMessage
from memicos_webapp.steering.schemas import (
    ChatResult,
    ChatSettings,
    OutputDelta,
    SteerAnswer,
    SteerChatAnswer,
    SteerChatRequest,
    SteerDelta,
    SteerResult,
    TokenCounts,
    TokenLogprob,
    TopLogprob,
    Turn,
)

A = TypeVar("A", bound=SteerResult)
OutputType = Literal["STEERED", "DEFAULT"]
Conversations = Mapping[OutputType, Sequence[ChatMessage]]
InferenceEvent = InferenceDelta | CompletionResponse | ChatResponse


@dataclass
class Output:
    """One output so far: `text` without the token that ended it, `raw` with it and, of a chat, after the prompt."""

    text: str = ""
    raw: str = ""
    tokens: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def add(self, delta: InferenceOutputDelta) -> OutputDelta:
        """Append a delta of inference; returns it in the API's form."""
        logprobs = _logprobs(delta)
        self.text += delta.completion
        self.raw += delta.raw if isinstance(delta.raw, str) else delta.completion
        self.tokens += len(delta.token_ids)
        self.logprobs += logprobs
        return OutputDelta(text=delta.completion, tokens=len(delta.token_ids), logprobs=logprobs or None)


Outputs = Mapping[OutputType, Output]


@dataclass
class SteerRun(Generic[A]):
    """A request to inference: its events, and the outputs received so far.

    `build_answer` makes the API's answer from the outputs, with or without log-probabilities. `conversations` are the
    messages of each output of a chat; empty for completions.
    """

    events: AsyncGenerator[InferenceEvent, None]
    build_answer: Callable[[Outputs, bool], A]
    share_url: str
    conversations: Conversations = field(default_factory=dict)
    outputs: dict[OutputType, Output] = field(default_factory=dict)

    def add(self, event: InferenceEvent) -> SteerDelta | None:
        """Add an event to the outputs; returns its new text, None for an event without text."""
        if not isinstance(event, InferenceDelta):
            self.outputs |= {output.type_: _complete_output(output) for output in event.outputs}
            return None
        if event.input_:
            self._begin_chat([(message.role, message.content) for message in event.input_.chat_template], event)
        deltas = {delta.type_: self.outputs.setdefault(delta.type_, Output()).add(delta) for delta in event.outputs}
        return SteerDelta.model_validate(deltas) if deltas else None

    def _begin_chat(self, messages: list[tuple[str, str]], event: InferenceDelta) -> None:
        """Put the prompt before the raw text of the outputs that continue `messages`."""
        assert event.input_
        for output_type, conversation in self.conversations.items():
            if [(message.role, message.content) for message in conversation] == messages:
                self.outputs[output_type] = Output(raw=event.input_.raw)

    def frame(self, logprobs: bool) -> A:
        """The answer so far."""
        return self.build_answer(self.outputs, logprobs)

    def answer(self) -> A:
        """The complete answer, once `events` have ended."""
        return self.build_answer(self.outputs, True).model_copy(update={"share_url": self.share_url})


def completion_answer(outputs: Outputs, logprobs: bool) -> SteerAnswer:
    steered, default = outputs.get("STEERED", Output()), outputs.get("DEFAULT", Output())
    return SteerAnswer(
        STEERED=steered.text,
        DEFAULT=default.text,
        steered_log_probs=(steered.logprobs or None) if logprobs else None,
        default_log_probs=(default.logprobs or None) if logprobs else None,
        tokens=_counts(outputs),
    )


def chat_answer(
    body: SteerChatRequest, conversations: Conversations, outputs: Outputs, logprobs: bool
) -> SteerChatAnswer:
    results = {
        output_type: ChatResult(
            raw=output.raw,
            chat_template=_turns(conversations[output_type], output.text, body.continue_final_message),
            logprobs=(output.logprobs or None) if logprobs else None,
        )
        for output_type, output in outputs.items()
    }
    return SteerChatAnswer(
        STEERED=results.get("STEERED"),
        DEFAULT=results.get("DEFAULT"),
        tokens=_counts(outputs),
        settings=ChatSettings.model_validate(body.model_dump(include=set(ChatSettings.model_fields))),
    )


def _turns(conversation: Sequence[ChatMessage], text: str, continued: bool) -> list[Turn]:
    """The conversation with the generated text: as a new turn, or at the end of the last one."""
    turns = [Turn(role=message.role, content=message.content) for message in conversation]
    if not continued:
        return [*turns, Turn(role="assistant", content=text)]
    *earlier, last = turns
    return [*earlier, Turn(role=last.role, content=last.content + text)]


def _counts(outputs: Outputs) -> TokenCounts:
    return TokenCounts.model_validate({output_type: output.tokens for output_type, output in outputs.items()})


def _complete_output(output: CompletionOutput | ChatOutput) -> Output:
    raw = output.raw if isinstance(output, ChatOutput) else output.completion
    return Output(output.completion, raw, len(output.token_ids), _logprobs(output))


def _logprobs(output: InferenceOutputDelta | CompletionOutput | ChatOutput) -> list[TokenLogprob]:
    return [
        TokenLogprob(
            token=entry.token,
            logprob=entry.logprob,
            top_logprobs=[TopLogprob(token=top.token, logprob=top.logprob) for top in entry.top_logprobs],
        )
        for entry in output.logprobs or []
    ]
