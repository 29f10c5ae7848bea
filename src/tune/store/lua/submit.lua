-- Hands results in and ends their leases. A late one is handed in too: the coordinator compares. ARGV: identity, worker,
-- then id, entry and record in turn. Gives: gone | ok.
if not known() then
    return { 'gone' }
end
if over() then
    return { 'ok' }
end
for i = 3, #ARGV, 3 do
    redis.call('XADD', results, '*', 'id', ARGV[i], 'worker', ARGV[2], 'kind', 'record', 'body', ARGV[i + 2])
    redis.call('HDEL', leases, lease_field(ARGV[2], ARGV[i]))
    drop_task(ARGV[i + 1])
end
return { 'ok' }
