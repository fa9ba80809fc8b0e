"""OpenAI's own Python client, unchanged but for its base URL and its key."""

import os
import sys

import openai

BASE, KEY, LIMITED = (os.environ[name] for name in ("GAIA_BASE_URL", "GAIA_KEY", "GAIA_LIMITED_KEY"))
HELLO = [{"role": "system", "content": "Answer in rhymes."}, {"role": "user", "content": "Hello"}]


def client(key=KEY, **more):
    return openai.OpenAI(base_url=BASE, api_key=key, max_retries=0, **more)


def raises(kind, code, ask):
    try:
        ask()
    except kind as error:
        assert error.code == code, f"{kind.__name__} has the code {error.code}, not {code}"
        assert error.request_id, "the error names no request"
        return error
    raise AssertionError(f"no {kind.__name__}")


def talks():
    gaia = client()
    models = [model.id for model in gaia.models.list()]
    assert models == ["guide", "merchant"], models
    assert gaia.models.retrieve("guide").owned_by.startswith("t-")

    first = gaia.chat.completions.create(model="guide", messages=HELLO, user="ada", max_completion_tokens=50, seed=7)
    choice = first.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Good evening, traveller."), first
    assert choice.finish_reason == "stop" and first.usage.total_tokens == 23, first
    messages = HELLO + [choice.message, {"role": "user", "content": "And then?"}]
    stream = gaia.chat.completions.create(
        model="guide", messages=messages, user="ada", stream=True, stream_options={"include_usage": True}
    )
    pieces = list(stream)
    words = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert words == "Good evening, traveller.", words
    assert pieces[-1].usage.completion_tokens == 3, pieces[-1]
    with gaia.chat.completions.stream(model="guide", messages=HELLO, user="bob") as events:
        assert events.get_final_completion().choices[0].message.content == "Good evening, traveller."

    said = gaia.responses.create(model="guide", input="Hello", instructions="Answer in rhymes.", user="eve")
    assert (said.output_text, said.status, said.usage.total_tokens) == ("Good evening, traveller.", "completed", 23), said
    more = {"model": "guide", "input": "And then?", "previous_response_id": said.id, "user": "eve"}
    with gaia.responses.stream(**more) as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert "response.output_text.delta" in kinds and kinds[-1] == "response.completed", kinds
    assert (final.output_text, final.previous_response_id) == ("Good evening, traveller.", said.id), final


def is_refused():
    gaia = client()
    ask = lambda of, **more: lambda: of.chat.completions.create(**{"model": "guide", "messages": HELLO} | more)
    raises(openai.AuthenticationError, "invalid_api_key", ask(client("gaia_no-such-game_abc")))
    raises(openai.AuthenticationError, "invalid_api_key", client("sk-proj-abc").models.list)
    error = raises(openai.NotFoundError, "model_not_found", ask(gaia, model="gpt-4o"))
    assert error.param == "model", error
    raises(openai.NotFoundError, "unknown_url", lambda: gaia.embeddings.create(model="guide", input="x"))
    error = raises(openai.BadRequestError, "unsupported_parameter", ask(gaia, n=2))
    assert error.param == "n", error
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    messages = [{"role": "user", "content": picture}]
    raises(openai.BadRequestError, "unsupported_parameter", ask(gaia, messages=messages))
    raises(openai.BadRequestError, "invalid_value", ask(gaia, temperature=3))
    unknown = lambda: gaia.responses.create(model="guide", input="Hello", previous_response_id="resp_1")
    raises(openai.BadRequestError, "previous_response_not_found", unknown)
    limited = client(LIMITED)
    limited.models.list()
    error = raises(openai.RateLimitError, "rate_limit_exceeded", limited.models.list)
    assert int(error.response.headers["retry-after"]) >= 1


def hangs_up():
    with client().chat.completions.create(model="guide", messages=HELLO, stream=True) as stream:
        for piece in stream:
            if piece.choices[0].delta.content:
                return


{"talks": talks, "is_refused": is_refused, "hangs_up": hangs_up}[sys.argv[1]]()
print("done")
