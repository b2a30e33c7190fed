// The two stake endpoints as one would write them on Hono, with each library used as its documentation says,
// and set for speed: ioredis pipelines by itself, postgres.js prepares, pages leave as the bytes they were
// stored as, log lines are written together. It runs Stakehold's own statements and reads its tokens.
//
// It does less: a page is dropped after a write, without a fence; Redis and the database are taken to be
// there; answers have no deadline; a read does not ask whether its session was revoked. With `tokens_kept` it
// keeps verified tokens, which no documentation suggests.

import { randomBytes } from 'node:crypto'
import { createWriteStream, readFileSync } from 'node:fs'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import { Redis } from 'ioredis'
import { jwtVerify } from 'jose'
import postgres from 'postgres'
import { z } from 'zod'

const told = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const key = new TextEncoder().encode(told.secret)
const sql = postgres(told.database_url, { max: told.pool_size })
const redis = new Redis(told.redis_url, { enableAutoPipelining: true })

// Two exact sliding logs, nothing charged on a refusal; then the page.
redis.defineCommand('enter', {
  numberOfKeys: 3,
  lua: `
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local reply = {1, ''}
for index = 1, 2 do
  local quota, window_us = tonumber(ARGV[2 * index]), tonumber(ARGV[2 * index + 1]) * 1000
  redis.call('ZREMRANGEBYSCORE', KEYS[index], '-inf', string.format('%.0f', now_us - window_us))
  local count = redis.call('ZCARD', KEYS[index])
  if count >= quota then reply[1] = 0 end
  reply[2 + index] = quota - count - 1
end
if reply[1] == 0 then return reply end
for index = 1, 2 do
  redis.call('ZADD', KEYS[index], string.format('%.0f', now_us), ARGV[1])
  redis.call('PEXPIRE', KEYS[index], ARGV[2 * index + 1])
end
if ARGV[6] ~= '' then reply[2] = redis.call('HGET', KEYS[3], ARGV[6]) or '' end
return reply`,
})

const log = createWriteStream('/dev/null')
let lines = []
setInterval(() => {
  if (lines.length) log.write(lines.join('\n') + '\n')
  lines = []
}, 50)

const Claims = z.object({ sub: z.uuid(), sid: z.uuid(), epoch: z.int() })
const Listing = z.object({
  page: z.coerce.number().int().min(1).max(10_000).default(1),
  limit: z.coerce.number().int().min(1).max(100).default(10),
})
const NewStake = z.strictObject({
  amount: z.string().regex(/^(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?$/),
  period: z.int().min(1),
})

const kept = new Map()

async function verified(header) {
  if (!header?.startsWith('Bearer ')) return null
  const token = header.slice(7)
  let claims = told.tokens_kept ? kept.get(token) : undefined
  if (!claims) {
    const options = { issuer: 'stakehold', audience: 'stakehold', algorithms: ['HS256'] }
    try {
      const { payload } = await jwtVerify(token, key, options)
      claims = { ...Claims.parse(payload), exp: payload.exp }
    } catch {
      return null
    }
    if (told.tokens_kept) kept.set(token, claims)
  }
  return claims.exp * 1000 > Date.now() ? claims : null
}

function newId() {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(Date.now(), 0, 6)
  bytes[6] = (bytes[6] & 0x0f) | 0x70
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

function minorUnits(amount) {
  const [whole, fraction = ''] = amount.split('.')
  return BigInt(whole + fraction.padEnd(8, '0'))
}

function decimal(minor) {
  const digits = String(minor).padStart(9, '0')
  const fraction = digits.slice(-8).replace(/0+$/, '')
  return digits.slice(0, -8) + (fraction && '.' + fraction)
}

function item(row) {
  const madeMs = parseInt(row.id.replaceAll('-', '').slice(0, 12), 16)
  const matures = new Date(madeMs)
  matures.setUTCMonth(matures.getUTCMonth() + Number(row.period_months))
  return {
    id: row.id, amount: decimal(row.amount_minor), period: String(row.period_months), asset: row.asset,
    rate: String(Number(row.rate_ppm) / 1e6), status: matures > new Date() ? 'active' : 'matured',
    createdAt: new Date(madeMs).toISOString(), maturesAt: matures.toISOString(),
  }
}

const keys = (user) => [`peer:{${user}}:a`, `peer:{${user}}:b`, `peer:{${user}}:pages`]
const app = new Hono()

app.use(secureHeaders())
app.use(async (c, next) => {
  const started = performance.now()
  const requestId = c.req.header('x-request-id') ?? randomBytes(16).toString('hex')
  c.set('requestId', requestId)
  await next()
  c.header('X-Request-Id', requestId)
  lines.push(JSON.stringify({
    time: new Date().toISOString(), requestId, method: c.req.method, route: c.req.path, status: c.res.status,
    ms: performance.now() - started, user: c.get('claims')?.sub,
  }))
})
app.use('/api/*', async (c, next) => {
  const claims = await verified(c.req.header('authorization'))
  if (!claims) return c.json({ title: 'Unauthorized' }, 401)
  c.set('claims', claims)
  return next()
})

async function enter(c, page) {
  const { quota, window_ms: window } = told
  const names = keys(c.get('claims').sub)
  const reply = await redis.enterBuffer(...names, newId(), quota, window, quota, window, page)
  const windowS = window / 1000
  c.header('RateLimit-Policy', `"stake";q=${quota};w=${windowS}, "global";q=${quota};w=${windowS}`)
  c.header('RateLimit', `"stake";r=${reply[2]};t=${windowS}, "global";r=${reply[3]};t=${windowS}`)
  return { admitted: Number(reply[0]) === 1, page: reply[1] }
}

app.get('/api/stake', async (c) => {
  const query = Listing.safeParse(c.req.query())
  if (!query.success) return c.json({ title: 'Unprocessable' }, 422)
  const { page, limit } = query.data
  const { admitted, page: cached } = await enter(c, `${page}:${limit}`)
  if (!admitted) return c.json({ title: 'Too many requests' }, 429)
  c.header('Cache-Control', 'private, no-cache')
  c.header('Content-Type', 'application/json')
  if (cached.length) return c.body(cached)
  const user = c.get('claims').sub
  const rows = await sql.unsafe(told.page, [user, limit + 1, (page - 1) * limit], { prepare: true })
  const content = { items: rows.slice(0, limit).map(item), fromCache: false, hasMore: rows.length > limit }
  const names = keys(user)
  redis.hset(names[2], `${page}:${limit}`, JSON.stringify({ ...content, fromCache: true }))
  redis.expire(names[2], 3600)
  return c.body(JSON.stringify(content))
})

app.post('/api/stake', async (c) => {
  const body = NewStake.safeParse(await c.req.json().catch(() => null))
  const { admitted } = await enter(c, '')
  if (!admitted) return c.json({ title: 'Too many requests' }, 429)
  if (!body.success) return c.json({ title: 'Unprocessable' }, 422)
  const { sub, sid, epoch } = c.get('claims')
  const { amount, period } = body.data
  const values = [sub, newId(), epoch, String(minorUnits(amount)), 'STK', period, sid, '', 0, 0, null, 'payout', String(amount)]
  const [row] = await sql.unsafe(told.create, values, { prepare: true })
  if (row?.outcome !== 'created') return c.json({ title: 'Unprocessable' }, 422)
  await redis.del(keys(sub)[2])
  return c.json({ success: true, stakeId: row.stake_id }, 201)
})

serve({ fetch: app.fetch, port: told.port, hostname: '127.0.0.1' })
