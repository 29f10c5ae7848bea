-- Trials that are in the log are no longer on offer, and their results no longer needed. ARGV: identity, count of ids, the
-- ids, then entries of results. Gives: gone | ok.
if not known() then
    return { 'gone' }
end
local done = {}
local count = tonumber(ARGV[2])
for i = 3, 2 + count do
    done[ARGV[i]] = true
end
for _, entry in ipairs(redis.call('XRANGE', tasks, '-', '+')) do
    if done[entry[2][2]] then
        drop_task(entry[1])
    end
end
for _, field in ipairs(redis.call('HKEYS', leases)) do
    if done[string.match(field, ':iteration:(%d+)$') or ''] then
        redis.call('HDEL', leases, field)
    end
end
for i = 3 + count, #ARGV do
    redis.call('XDEL', results, ARGV[i])
end
return { 'ok' }
