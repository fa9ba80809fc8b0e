// OpenAI's own JavaScript client, unchanged but for its base URL and its key.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { GAIA_BASE_URL: baseURL, GAIA_KEY, GAIA_LIMITED_KEY, GAIA_SDK } = process.env;
const { default: OpenAI } = createRequire(`${GAIA_SDK}/`)("openai");
const hello = [{ role: "system", content: "Answer in rhymes." }, { role: "user", content: "Hello" }];

const client = (apiKey = GAIA_KEY) => new OpenAI({ baseURL, apiKey, maxRetries: 0 });

async function raises(kind, code, ask) {
  try {
    await ask();
  } catch (error) {
    assert(error instanceof kind, `${error} is no ${kind.name}`);
    assert.equal(error.code, code);
    assert(error.requestID, "the error names no request");
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

async function talks() {
  const gaia = client();
  const models = [];
  for await (const model of gaia.models.list()) models.push(model.id);
  assert.deepEqual(models, ["guide", "merchant"]);
  assert.equal((await gaia.models.retrieve("merchant")).object, "model");

  const first = await gaia.chat.completions.create({ model: "guide", messages: hello, safety_identifier: "ada" });
  const { message, finish_reason } = first.choices[0];
  assert.deepEqual([message.content, finish_reason], ["Good evening, traveller.", "stop"]);
  assert.equal(first.usage.total_tokens, 23);
  const messages = [...hello, message, { role: "user", content: "And then?" }];
  const stream = await gaia.chat.completions.create({
    model: "guide", messages, safety_identifier: "ada", stream: true, stream_options: { include_usage: true },
  });
  let words = "", usage;
  for await (const piece of stream) {
    words += piece.choices[0]?.delta.content ?? "";
    usage = piece.usage ?? usage;
  }
  assert.deepEqual([words, usage.completion_tokens], ["Good evening, traveller.", 3]);
  const events = gaia.chat.completions.stream({ model: "guide", messages: hello, user: "bob" });
  assert.equal(await events.finalContent(), "Good evening, traveller.");

  const said = await gaia.responses.create({ model: "guide", input: "Hello", safety_identifier: "eve" });
  assert.deepEqual([said.output_text, said.status], ["Good evening, traveller.", "completed"]);
  const more = { model: "guide", input: "And then?", previous_response_id: said.id, safety_identifier: "eve" };
  const final = await gaia.responses.stream(more).finalResponse();
  assert.deepEqual([final.output_text, final.usage.total_tokens], ["Good evening, traveller.", 23]);
}

async function is_refused() {
  const gaia = client();
  const ask = (of, more) => () => of.chat.completions.create({ model: "guide", messages: hello, ...more });
  await raises(OpenAI.AuthenticationError, "invalid_api_key", ask(client("gaia_no-such-game_abc")));
  await raises(OpenAI.AuthenticationError, "invalid_api_key", () => client("sk-proj-abc").models.list());
  const none = await raises(OpenAI.NotFoundError, "model_not_found", ask(gaia, { model: "gpt-4o" }));
  assert.equal(none.param, "model");
  await raises(OpenAI.NotFoundError, "unknown_url", () => gaia.embeddings.create({ model: "guide", input: "x" }));
  const tools = [{ type: "function", function: { name: "unlock", parameters: {} } }];
  const refused = await raises(OpenAI.BadRequestError, "unsupported_parameter", ask(gaia, { tools }));
  assert.equal(refused.param, "tools");
  await raises(OpenAI.BadRequestError, "invalid_value", ask(gaia, { stop: ["a", "b", "c", "d", "e"] }));
  const unknown = { model: "guide", input: "Hello", previous_response_id: "resp_1" };
  await raises(OpenAI.BadRequestError, "previous_response_not_found", () => gaia.responses.create(unknown));
  const limited = client(GAIA_LIMITED_KEY);
  await limited.models.list();
  const late = await raises(OpenAI.RateLimitError, "rate_limit_exceeded", () => limited.models.list());
  assert(Number(late.headers.get("retry-after")) >= 1);
}

async function hangs_up() {
  const stream = await client().chat.completions.create({ model: "guide", messages: hello, stream: true });
  for await (const piece of stream) {
    if (piece.choices[0].delta.content) {
      stream.controller.abort();
      return;
    }
  }
}

await { talks, is_refused, hangs_up }[process.argv[2]]();
console.log("done");
