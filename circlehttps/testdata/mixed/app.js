/* fetch('http://site.example/block-comment') */
var x = new XMLHttpRequest();
x.open('GET', 'http://site.example/xhr');
try { x.send(); } catch (e) {}
try { new WebSocket('ws://site.example/websocket'); } catch (e) {}
navigator.sendBeacon('http://site.example/beacon');
try { new EventSource('http://site.example/events'); } catch (e) {}
var img = new Image();
img.src = 'http://site.example/new-image.png';
var script = document.createElement('script');
script.src = "http://site.example/new-script";
document.body.appendChild(script);
document.body.insertAdjacentHTML('beforeend', '<img src="http://site.example/inserted.png">');
document.body.style.listStyleImage = "url('http://site.example/list.png')";
if (/'http:/.test(location.href)) fetch('https://site.example/never');
