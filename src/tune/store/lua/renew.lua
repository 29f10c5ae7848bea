-- Prolongs the leases that a worker still has. ARGV: identity, worker, lease ms, heartbeat ms (0: the coordinator), then
-- trial ids. Gives: gone | ok, then the ids whose lease went to another.
if not known() then
    return { 'gone' }
end
if over() then
    return { 'ok' }
end
local now = clock()
local worker, lease, beat = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if beat > 0 then
    redis.call('ZADD', workers, text(now + beat), worker)
    redis.call('PEXPIRE', workers, text(10 * beat))
end
local out = { 'ok' }
for i = 5, #ARGV do
    local field = lease_field(worker, ARGV[i])
    local value = redis.call('HGET', leases, field)
    if value then
        local _, entry, lost = read_lease(value)
        redis.call('HSET', leases, field, text(now + lease) .. ' ' .. entry .. ' ' .. lost)
    else
        out[#out + 1] = ARGV[i]
    end
end
return out
