-- Offers tasks to whoever works on the session; those on offer already stay as they are. ARGV: identity, then id and task
-- in turn. Gives: gone | ok.
if not known() then
    return { 'gone' }
end
make_group()
local there = {}
for _, entry in ipairs(redis.call('XRANGE', tasks, '-', '+')) do
    there[entry[2][2]] = true
end
for i = 2, #ARGV, 2 do
    if not there[ARGV[i]] then
        redis.call('XADD', tasks, '*', 'id', ARGV[i], 'task', ARGV[i + 1], 'lost', '')
    end
end
return { 'ok' }
