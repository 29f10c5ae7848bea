-- A worker leaves and gives its leases back; nothing is held against it. ARGV: identity, worker. Gives: gone | ok.
if not known() then
    return { 'gone' }
end
if over() then
    return { 'ok' }
end
local held = redis.call('HGETALL', leases)
for i = 1, #held, 2 do
    if string.match(held[i], '^worker:(.*):iteration:%d+$') == ARGV[2] then
        put_back(held[i], held[i + 1])
    end
end
redis.call('ZREM', workers, ARGV[2])
return { 'ok' }
