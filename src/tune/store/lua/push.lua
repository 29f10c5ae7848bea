-- Appends lines of the log. ARGV: identity, lines already held, how many follow, then for each: line, trial id, value or
-- nothing; then fields and values of the session's progress. Gives: gone | at, lines held | ok.
if not known() then
    return { 'gone' }
end
local held = redis.call('XLEN', trials)
if held ~= tonumber(ARGV[2]) then
    return { 'at', text(held) }
end
local count = tonumber(ARGV[3])
local at = 4
for n = 1, count do
    redis.call('XADD', trials, text(held + n) .. '-0', 'line', ARGV[at])
    if ARGV[at + 2] ~= '' then
        redis.call('ZADD', board, ARGV[at + 2], ARGV[at + 1])
    end
    at = at + 3
end
for i = at, #ARGV, 2 do
    redis.call('HSET', session, ARGV[i], ARGV[i + 1])
end
return { 'ok' }
