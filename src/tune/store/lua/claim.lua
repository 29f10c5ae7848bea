-- Takes up to so many tasks, each with a lease: first those whose lease has ended, then new ones. A task on which as many
-- workers were lost as the session allows is given up instead. ARGV: identity, worker, count, lease ms, heartbeat ms (0:
-- the coordinator, which has a heartbeat of its own). Gives: gone | ok, status, the last entry that was ever offered, then
-- id, entry and task of each.
if not known() then
    return { 'gone' }
end
if over() then
    return { 'ok', 'done', '$' }
end
make_group()
local now = clock()
local worker, count, lease, beat = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if beat > 0 then
    redis.call('ZADD', workers, text(now + beat), worker)
    redis.call('PEXPIRE', workers, text(10 * beat))
end
local status = redis.call('HGET', session, 'status')
if status == 'running' and tonumber(redis.call('HGET', session, 'coordinator_until') or '0') < now then
    status = 'waiting'
end
local out = { 'ok', status, '$' }
local about = redis.call('XINFO', 'STREAM', tasks)
for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then
        out[3] = about[i + 1]
    end
end
local attempts = tonumber(redis.call('HGET', session, 'attempts') or '3')
local taken = 0
local held = redis.call('HGETALL', leases)
for i = 1, #held, 2 do
    local deadline, entry, lost = read_lease(held[i + 1])
    local owner, id = string.match(held[i], '^worker:(.*):iteration:(%d+)$')
    if owner and deadline and deadline < now then
        local task = read_task(entry)
        local names = lost == '' and owner or lost .. ',' .. owner
        local _, commas = string.gsub(names, ',', '')
        if not task then
            redis.call('HDEL', leases, held[i])
        elseif commas + 1 >= attempts then
            redis.call('HDEL', leases, held[i])
            drop_task(entry)
            redis.call('XADD', results, '*', 'id', id, 'worker', names, 'kind', 'lost', 'body', '')
        elseif taken < count then
            redis.call('HDEL', leases, held[i])
            redis.call('XCLAIM', tasks, GROUP, worker, 0, entry, 'JUSTID')
            redis.call('HSET', leases, lease_field(worker, id), text(now + lease) .. ' ' .. entry .. ' ' .. names)
            taken = taken + 1
            out[#out + 1], out[#out + 2], out[#out + 3] = id, entry, task.task
        end
    end
end
if taken < count then
    local fresh = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count - taken, 'STREAMS', tasks, '>')
    if fresh then
        for _, entry in ipairs(fresh[1][2]) do
            local fields = entry[2]
            local id, task, lost = fields[2], fields[4], fields[6]
            redis.call('HSET', leases, lease_field(worker, id), text(now + lease) .. ' ' .. entry[1] .. ' ' .. lost)
            out[#out + 1], out[#out + 2], out[#out + 3] = id, entry[1], task
        end
    end
end
return out
