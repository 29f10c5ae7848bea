-- A coordinator takes the session over, or makes it. ARGV: identity, home, ms, id, then fields and values of a new one.
-- Gives: other, identity | busy, ms left | ok, lines held, last line held, tasks and results left by an earlier life.
local now = clock()
local have = redis.call('HGET', session, 'identity')
if have and have ~= ARGV[1] then
    return { 'other', have }
end
local home = redis.call('HGET', session, 'coordinator')
local till = tonumber(redis.call('HGET', session, 'coordinator_until') or '0')
if home and home ~= ARGV[2] and till > now then
    return { 'busy', text(till - now) }
end
redis.call('HSET', session, 'identity', ARGV[1], 'coordinator', ARGV[2], 'coordinator_until',
    text(now + tonumber(ARGV[3])), 'status', 'running')
for i = 5, #ARGV, 2 do
    redis.call('HSET', session, ARGV[i], ARGV[i + 1])
end
redis.call('SADD', sessions, ARGV[4])
make_group()
-- What an earlier life of this coordinator held is free again.
local held = redis.call('HGETALL', leases)
for i = 1, #held, 2 do
    if string.match(held[i], '^worker:coordinator:') then
        put_back(held[i], held[i + 1])
    end
end
local last = redis.call('XREVRANGE', trials, '+', '-', 'COUNT', 1)
local left = redis.call('XLEN', tasks) + redis.call('XLEN', results)
return { 'ok', text(redis.call('XLEN', trials)), last[1] and last[1][2][2] or '', text(left) }
