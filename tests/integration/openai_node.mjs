// Asks a server with the official Node client and prints what it got as JSON: node openai_node.mjs FOLDER BASE_URL MODEL
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL, model] = process.argv.slice(2);
const entry = createRequire(folder + "/index.js").resolve("openai");
const { default: OpenAI, APIError } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];
const said = {};

const stream = await client.chat.completions.create({ model, messages, max_tokens: 5, stream: true });
said.chunks = 0;
for await (const chunk of stream) {
  said.chunks += 1;
  said.finish = chunk.choices[0]?.finish_reason ?? said.finish;
}
const { data, response } = await client.chat.completions.create({ model, messages, max_tokens: 5 }).withResponse();
said.tokens = data.usage.completion_tokens;
said.start = response.headers.get("x-pilotlight-start");
said.models = [];
for await (const card of client.models.list()) said.models.push(card.id);
try {
  await client.chat.completions.create({ model: "nobody", messages });
} catch (e) {
  said.error = { api: e instanceof APIError, status: e.status, code: e.code };
}
console.log(JSON.stringify(said));
