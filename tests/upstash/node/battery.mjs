// What @upstash/redis makes of a server: every check's outcome as one JSON object on standard output.
// The address and the token are in UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN.
import { Redis } from "@upstash/redis";

const url = process.env.UPSTASH_REDIS_REST_URL;
const token = process.env.UPSTASH_REDIS_REST_TOKEN;
const options = { url, token, retry: false, enableTelemetry: false };
const redis = new Redis({ ...options, enableAutoPipelining: false });
const raw = new Redis({ ...options, enableAutoPipelining: false, automaticDeserialization: false });
const unencoded = new Redis({
  ...options, enableAutoPipelining: false, automaticDeserialization: false, responseEncoding: false,
});

const outcomes = {};
async function check(name, run) {
  try {
    outcomes[name] = { value: (await run()) ?? null };
  } catch (error) {
    outcomes[name] = { error: `${error.name}: ${error.message}` };
  }
}

const text = "größe ✓ 日本 \u{1F600} \"quoted\" \\ \n end";
await check("ping", () => redis.ping());
await check("set", () => redis.set("text", text));
await check("get", async () => (await raw.get("text")) === text);
await check("get without base64", async () => (await unencoded.get("text")) === text);
await check("absent", () => redis.get("absent"));
await check("empty", async () => [await raw.set("empty", ""), await raw.get("empty")]);
await check("the text OK", async () => [await raw.set("ok", "OK"), await raw.get("ok")]);
await check("object", async () => [await redis.set("object", { a: [1, null, "x"] }), await redis.get("object")]);
await check("ex", async () => [await redis.set("brief", "1", { ex: 100 }), (await redis.ttl("brief")) > 90]);
await check("nx", async () => [await redis.set("once", "1", { nx: true }), await redis.set("once", "2", { nx: true })]);
await check("incr", async () => [await redis.incr("count"), await redis.incrby("count", 41), await redis.decr("count")]);
await check("mget", async () => [await redis.mset({ one: "a", two: "b" }), await redis.mget("one", "absent", "two")]);
await check("del", () => redis.del("one", "two", "absent"));
await check("hash", async () => [
  await redis.hset("hash", { a: "x", b: "ü" }),
  await redis.hget("hash", "b"),
  await redis.hgetall("hash"),
  await redis.hdel("hash", "a", "absent"),
]);
await check("zset", async () => [
  await redis.zadd("zset", { score: 1.5, member: "a" }, { score: 2, member: "b" }),
  await redis.zrange("zset", 0, -1, { withScores: true }),
  await redis.zscore("zset", "a"),
  await redis.zcount("zset", "(1.5", "+inf"),
]);
await check("list", async () => [await redis.rpush("list", "a", "b"), await redis.lrange("list", 0, -1)]);
await check("eval", () => redis.eval("return {KEYS[1], ARGV[1], 7, false}", ["k"], ["ä"]));
await check("nested", () => redis.eval("return {1, {'a', {2, 'b'}}}", [], []));
await check("eval error", () => redis.eval("return redis.error_reply('ERR of the script')", [], []));
await check("noscript", () => redis.evalsha("0".repeat(40), [], []));
await check("evalsha", async () => {
  const sha = await redis.scriptLoad("return ARGV[1]");
  return [sha.length, await redis.evalsha(sha, [], ["again"]), await redis.scriptExists(sha, "0".repeat(40))];
});
await check("wrong type", () => redis.incr("hash"));
await check("unknown command", () => redis.exec(["NONSENSE"]));
await check("too few arguments", () => redis.exec(["GET"]));
await check("wrong token", () => new Redis({ ...options, token: "wrong" }).get("text"));
await check("pipeline", () =>
  redis.pipeline().set("p", "v").incr("n").get("p").zadd("pz", { score: 1, member: "m" }).exec());
await check("pipeline error", () => redis.pipeline().set("p", "v").incr("p").exec());
await check("pipeline kept error", () =>
  redis.pipeline().set("p", "v").incr("p").get("p").exec({ keepErrors: true }));
await check("multi", () => redis.multi().set("m", "1").incr("m").get("m").exec());
await check("multi error", () => redis.multi().set("m", "v").incr("m").exec());
await check("multi discarded", async () => {
  try {
    await raw.multi().set("discarded", "v").del().exec();
  } catch {
    // it is refused as a whole
  }
  return redis.exists("discarded");
});
await check("autopipelining", async () => {
  const joined = new Redis({ ...options, enableAutoPipelining: true });
  const all = await Promise.all([joined.set("auto", "1"), joined.incr("auto"), joined.incr("auto")]);
  return [all, joined.pipelineCounter];
});
const large = "ä".repeat(250_000);
await check("large", async () => [await raw.set("large", large), (await raw.get("large")) === large]);
await check("too large", () => raw.set("large", "x".repeat(1024 * 1024 + 1)).catch((error) => {
  throw new Error(error.message.slice(0, 80));
}));
await check("scan", async () => (await redis.scan(0, { match: "zs*", count: 1000 }))[1]);
console.log(JSON.stringify(outcomes));
