-- The coordinator leaves. ARGV: identity, home, status, then fields and values. A session that is done keeps its table
-- alone. Gives: gone | ousted | ok.
if not known() then
    return { 'gone' }
end
if redis.call('HGET', session, 'coordinator') ~= ARGV[2] then
    return { 'ousted' }
end
redis.call('HSET', session, 'status', ARGV[3], 'coordinator_until', '0')
for i = 4, #ARGV, 2 do
    redis.call('HSET', session, ARGV[i], ARGV[i + 1])
end
if ARGV[3] == 'done' then
    redis.call('DEL', tasks, results, leases, workers)
end
return { 'ok' }
