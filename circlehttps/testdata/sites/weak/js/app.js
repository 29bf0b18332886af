// $.getJSON("http://old.example/api")
$.getJSON("http://api.example/items");
var socket = new WebSocket('ws://push.example/feed');
var base = "http://api.example/v1";
var image = 'http:' + '//www.example.com/spring/item.png';
console.log("see http://www.example.com/help");
location.href = "http://www.example.com/spring/done.html";
