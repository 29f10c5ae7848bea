-- The coordinator's heartbeat: results that came in after an entry, who works, what is still on offer. ARGV: identity,
-- home, ms, entry, whether to list what is on offer (1 or 0). Gives: gone | ousted | ok, workers, count of results, then
-- entry, id, worker, kind and body of each, then ids on offer.
if not known() then
    return { 'gone' }
end
if redis.call('HGET', session, 'coordinator') ~= ARGV[2] then
    return { 'ousted' }
end
local now = clock()
redis.call('HSET', session, 'coordinator_until', text(now + tonumber(ARGV[3])))
redis.call('ZREMRANGEBYSCORE', workers, '-inf', text(now))
local found = redis.call('XRANGE', results, '(' .. ARGV[4], '+', 'COUNT', 256)
local out = { 'ok', text(redis.call('ZCARD', workers)), text(#found) }
for _, entry in ipairs(found) do
    local fields = entry[2]
    out[#out + 1] = entry[1]
    for i = 2, 8, 2 do
        out[#out + 1] = fields[i]
    end
end
if ARGV[5] == '1' then
    for _, entry in ipairs(redis.call('XRANGE', tasks, '-', '+')) do
        out[#out + 1] = entry[2][2]
    end
end
return out
