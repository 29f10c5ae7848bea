-- What every script begins with. KEYS are always all eight; ARGV[1] is always the session's identity.
local session, trials, tasks, results = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local leases, workers, board, sessions = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local GROUP = 'workers'

local function text(number)
    return string.format('%.0f', number)
end

-- Milliseconds of this server's clock: the only clock that leases and heartbeats know.
local function clock()
    local now = redis.call('TIME')
    return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

-- Whether this is still the session that the caller means: a server that came back empty does not know it.
local function known()
    return redis.call('HGET', session, 'identity') == ARGV[1]
end

-- Whether the session is over: then only its table is kept, and nothing may bring the other keys back.
local function over()
    return redis.call('HGET', session, 'status') == 'done'
end

local function lease_field(worker, id)
    return 'worker:' .. worker .. ':iteration:' .. id
end

-- A lease is "deadline entry lost": when it ends, the task's entry in the stream, names of the workers lost on it.
local function read_lease(value)
    local deadline, entry, lost = string.match(value, '^(%S+) (%S+) (%S*)$')
    return tonumber(deadline), entry, lost
end

-- The fields of a task's entry as a table; nil when it is no longer there.
local function read_task(entry)
    local found = redis.call('XRANGE', tasks, entry, entry)
    if #found == 0 then
        return nil
    end
    local fields = {}
    local flat = found[1][2]
    for i = 1, #flat, 2 do
        fields[flat[i]] = flat[i + 1]
    end
    return fields
end

local function drop_task(entry)
    redis.call('XACK', tasks, GROUP, entry)
    redis.call('XDEL', tasks, entry)
end

-- Puts a leased task back so that the group delivers it once more.
local function put_back(field, value)
    local _, entry, lost = read_lease(value)
    local task = read_task(entry)
    redis.call('HDEL', leases, field)
    if task then
        drop_task(entry)
        redis.call('XADD', tasks, '*', 'id', task.id, 'task', task.task, 'lost', lost)
    end
end

local function make_group()
    if redis.call('EXISTS', tasks) == 0 then
        redis.call('XGROUP', 'CREATE', tasks, GROUP, '0', 'MKSTREAM')
    end
end
